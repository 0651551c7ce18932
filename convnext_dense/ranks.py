"""Identify the processes of a run, and let one of them decide for all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_WORLD_SIZE = {
    "none": None,
    "pytorch": "WORLD_SIZE",
    "slurm": "SLURM_NTASKS",
    "mpi": "OMPI_COMM_WORLD_SIZE",
}


def rank() -> int:
    """Return the rank of this process from its launcher's variables."""
    return int(next((os.environ[key] for key in _RANK if key in os.environ), 0))


def world_size(launcher: str) -> int:
    """Return the number of processes from the launcher's variables.

    Args:
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
    """
    key = _WORLD_SIZE[launcher]
    return int(os.environ.get(key, 1)) if key else 1


def decided_by_rank_0(decide: Callable[[], Result]) -> Result:
    """Call a function only on rank 0, and return its result in every process of the run.

    If it fails, every process raises its error, so that no process waits for another in vain.

    Args:
        decide: Function without arguments whose result and errors can be pickled.

    Raises:
        Exception: The error of the function on rank 0.
    """
    # Imported here, since it imports torch, which the functions above do not need.
    from mmengine.dist import broadcast_object_list, is_main_process

    result: Result | None = None
    error: Exception | None = None
    if is_main_process():
        try:
            result = decide()
        except Exception as raised:
            error = raised
    outcome: list[Any] = [result, error]
    broadcast_object_list(outcome)  # does nothing if there is only one process
    result, error = outcome
    if error is not None:
        raise error
    return cast(Result, result)
