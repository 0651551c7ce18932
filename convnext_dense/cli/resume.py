"""Which checkpoint ``--resume`` goes on from, and the command line that goes on with a run."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from mmengine.config import Config

from convnext_dense.checkpoints.latest import (
    checkpoint_folder,
    find_latest,
    latest_checkpoint,
)
from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.cli.options import note
from convnext_dense.ranks import decided_by_rank_0

AUTO = "auto"
_TORCHRUN = ("torchrun", "torch.distributed.run")


def choose_checkpoint(cfg: Config, resume: str | None) -> str | None:
    """Choose the checkpoint that a run goes on from, for all its processes, and name it.

    Args:
        cfg: Its ``resume`` and ``load_from`` count where ``resume`` is None.
        resume: ``--resume``: a checkpoint, :data:`AUTO` for the newest whole one of the run's own
            folder, or None.

    Returns:
        A path or URL, or None where the run starts from the beginning.

    Raises:
        FileNotFoundError: Where there is no such file.
        RuntimeError: Where training cannot go on from it, or from any in the folder.
    """
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or AUTO
    return decided_by_rank_0(lambda: _choose(cfg, resume))


def _choose(cfg: Config, resume: str | None) -> str | None:
    folder = checkpoint_folder(cfg)
    if resume is None:
        latest = _is_there(cfg.work_dir, folder)
        if latest:
            note(f"{cfg.work_dir} holds {Path(latest).name} of an earlier run; --resume goes on")
        return None
    if resume == AUTO:
        latest = find_latest(cfg.work_dir, folder)
        if latest.path is None:
            note(f"--resume: no checkpoint in {cfg.work_dir} yet, starting from the beginning")
            return None
        if latest.passed_over:
            why = "; ".join(latest.passed_over)
            note(f"--resume: {why}. {latest.path} is the newest whole checkpoint")
        resume = str(latest.path)
    elif "://" not in resume:
        if not Path(resume).is_file():
            raise FileNotFoundError(f"--resume {resume}: there is no such file")
        require_resumable(resume)
    note(f"--resume: going on from {resume}")
    return resume


def _is_there(work_dir: str, folder: Path) -> str | None:
    try:
        return latest_checkpoint(work_dir, folder)
    except RuntimeError:  # matters to those alone who resume
        return None


def resuming_command(args: argparse.Namespace) -> str:
    """Return the command line that goes on with this run, as it was started."""
    start = {
        "pytorch": _torchrun(),
        "slurm": ["srun", f"--ntasks={os.environ.get('SLURM_NTASKS')}", "python"],
        "mpi": ["mpirun", "-n", str(os.environ.get("OMPI_COMM_WORLD_SIZE")), "python"],
    }.get(args.launcher, ["python"])
    # Without an earlier --resume, and the checkpoint that it may have named.
    kept = [
        arg
        for before, arg in zip(["", *sys.argv], sys.argv, strict=False)
        if arg.partition("=")[0] != "--resume" and not (before == "--resume" and arg == args.resume)
    ]
    return shlex.join([*start, *kept, "--resume"])


def _torchrun() -> list[str]:
    """Return what torchrun was called with, before the script."""
    try:
        called = Path(f"/proc/{os.getppid()}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        called = []
    if sys.argv[0] in called and any(arg.endswith(_TORCHRUN) for arg in called):
        return ["python", *called[1 : called.index(sys.argv[0])]]
    # From what torchrun tells its processes, which says nothing of an elastic rendezvous.
    told = os.environ
    command = ["torchrun", f"--nproc_per_node={told.get('LOCAL_WORLD_SIZE', 1)}"]
    if int(told.get("GROUP_WORLD_SIZE", 1)) > 1:
        command += [
            f"--nnodes={told['GROUP_WORLD_SIZE']}",
            f"--node_rank={told.get('GROUP_RANK', 0)}",
            f"--master_addr={told.get('MASTER_ADDR')}",
            f"--master_port={told.get('MASTER_PORT')}",
        ]
    return command
