"""Build the command line that resumes a run."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from convnext_dense.cli.program import program_words

_TORCHRUN = ("torchrun", "torch.distributed.run")


def resuming_command(args: argparse.Namespace) -> str:
    """Return the command line of this run with ``--resume``."""
    program = program_words()
    start = {
        "pytorch": _torchrun(program),
        "slurm": ["srun", f"--ntasks={os.environ.get('SLURM_NTASKS')}", *program],
        "mpi": ["mpirun", "-n", str(os.environ.get("OMPI_COMM_WORLD_SIZE")), *program],
    }.get(args.launcher, program)
    # Without an earlier --resume and its checkpoint.
    kept = [
        arg
        for before, arg in zip(sys.argv, sys.argv[1:], strict=False)
        if arg.partition("=")[0] != "--resume" and not (before == "--resume" and arg == args.resume)
    ]
    return shlex.join([*start, *kept, "--resume"])


def _torchrun(program: list[str]) -> list[str]:
    """Return torchrun's command line up to the program, which ends it."""
    try:
        called = Path(f"/proc/{os.getppid()}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        called = []
    names = (sys.argv[0], program[-1])  # a file, a module, or a program with --no-python
    script = next((number for number, word in enumerate(called) if word in names), None)
    if script is not None and any(word.endswith(_TORCHRUN) for word in called[:script]):
        return ["python", *called[1 : script + 1]]
    # From the variables that torchrun sets, which do not include an elastic rendezvous.
    told = os.environ
    command = ["torchrun", f"--nproc_per_node={told.get('LOCAL_WORLD_SIZE', 1)}"]
    if int(told.get("GROUP_WORLD_SIZE", 1)) > 1:
        command += [
            f"--nnodes={told['GROUP_WORLD_SIZE']}",
            f"--node_rank={told.get('GROUP_RANK', 0)}",
            f"--master_addr={told.get('MASTER_ADDR')}",
            f"--master_port={told.get('MASTER_PORT')}",
        ]
    script_words = program[1:] if program[0] == "python" else ["--no-python", *program]
    return [*command, *script_words]
