"""The command line that goes on with a run, as the run was started."""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from convnext_dense.cli import resume
from convnext_dense.cli.resume import resuming_command

SCRIPT = """
import sys
from argparse import Namespace
sys.argv[0] = {script!r}
import convnext_dense.cli.resume as resume
print(resume.resuming_command(Namespace(resume=None, launcher="pytorch")))
"""


def command(monkeypatch, argv, **args):
    monkeypatch.setattr(sys, "argv", argv)
    return resuming_command(Namespace(**dict(resume=None, launcher="none") | args))


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        (["a.py", "c.py"], None),
        (["a.py", "c.py", "--resume"], "auto"),
        (["a.py", "--resume", "w/iter_2.pth", "c.py"], "w/iter_2.pth"),
        (["a.py", "--resume=w/iter_2.pth", "c.py"], "w/iter_2.pth"),
    ],
)
def test_one_process(monkeypatch, argv, given):
    assert command(monkeypatch, argv, resume=given) == "python a.py c.py --resume"


def test_an_argument_that_is_equal_to_the_checkpoint_stays(monkeypatch):
    argv = ["a.py", "c.py", "--weights", "b.pth", "--resume", "b.pth"]
    said = command(monkeypatch, argv, resume="b.pth")
    assert said == "python a.py c.py --weights b.pth --resume"


def test_schedulers(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "16")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    argv = ["a.py", "c.py", "--launcher", "slurm"]
    assert command(monkeypatch, argv, launcher="slurm").startswith("srun --ntasks=16 python a.py")
    assert command(monkeypatch, argv, launcher="mpi").startswith("mpirun -n 4 python a.py")


def test_nodes_as_the_processes_were_told(monkeypatch):
    told = dict(LOCAL_WORLD_SIZE="8", GROUP_WORLD_SIZE="2", GROUP_RANK="1", MASTER_ADDR="h")
    for name, value in (told | dict(MASTER_PORT="29511")).items():
        monkeypatch.setenv(name, value)
    assert command(monkeypatch, ["a.py", "c.py"], launcher="pytorch") == (
        "torchrun --nproc_per_node=8 --nnodes=2 --node_rank=1 --master_addr=h --master_port=29511"
        " a.py c.py --resume"
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").is_file(), reason="needs /proc")
def test_the_rendezvous_as_torchrun_was_called(tmp_path):
    launcher = tmp_path / "torchrun"
    launcher.write_text("import subprocess, sys\nsubprocess.run([sys.executable, *sys.argv[3:]])\n")
    child = tmp_path / "train.py"
    source = Path(resume.__file__).parents[2]
    child.write_text(
        f"import sys\nsys.path.insert(0, {str(source)!r})\n" + SCRIPT.format(script=str(child))
    )
    flags = ["--rdzv-backend=c10d", "--rdzv-endpoint=host:1"]
    argv = [sys.executable, str(launcher), *flags, str(child), "c.py", "--launcher", "pytorch"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    expected = ["python", *argv[1:4], *argv[4:], "--resume"]
    assert shlex.split(said) == expected
