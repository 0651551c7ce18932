"""Build the command line that resumes a run."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

_TORCHRUN = ("torchrun", "torch.distributed.run")


def resuming_command(args: argparse.Namespace) -> str:
    """Return the command line of this run with ``--resume``."""
    start = {
        "pytorch": _torchrun(),
        "slurm": ["srun", f"--ntasks={os.environ.get('SLURM_NTASKS')}", "python"],
        "mpi": ["mpirun", "-n", str(os.environ.get("OMPI_COMM_WORLD_SIZE")), "python"],
    }.get(args.launcher, ["python"])
    # Without an earlier --resume and its checkpoint.
    kept = [
        arg
        for before, arg in zip(["", *sys.argv], sys.argv, strict=False)
        if arg.partition("=")[0] != "--resume" and not (before == "--resume" and arg == args.resume)
    ]
    return shlex.join([*start, *kept, "--resume"])


def _torchrun() -> list[str]:
    """Return the part of torchrun's command line before the script."""
    try:
        called = Path(f"/proc/{os.getppid()}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        called = []
    if sys.argv[0] in called and any(arg.endswith(_TORCHRUN) for arg in called):
        return ["python", *called[1 : called.index(sys.argv[0])]]
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
    return command
