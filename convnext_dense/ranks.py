"""The processes of a run: which this is, and what one of them decides for all."""

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
    """Return this process's rank as its launcher tells it, before the processes have joined."""
    return int(next((os.environ[key] for key in _RANK if key in os.environ), 0))


def world_size(launcher: str) -> int:
    """Return the number of processes as the launcher tells it, before they have joined.

    Args:
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
    """
    key = _WORLD_SIZE[launcher]
    return int(os.environ.get(key, 1)) if key else 1


def decided_by_rank_0(decide: Callable[[], Result]) -> Result:
    """Call a function on rank 0 alone, and return its result in every process of the run.

    Where it fails, every process raises its error: none waits for one that is gone.

    Args:
        decide: Called without arguments. Its result and errors can be pickled.

    Raises:
        Exception: What the function raised on rank 0.
    """
    # It needs torch, which who asks for a rank alone does not.
    from mmengine.dist import broadcast_object_list, is_main_process

    result: Result | None = None
    error: Exception | None = None
    if is_main_process():
        try:
            result = decide()
        except Exception as raised:
            error = raised
    outcome: list[Any] = [result, error]
    broadcast_object_list(outcome)  # does nothing where there is one process
    result, error = outcome
    if error is not None:
        raise error
    return cast(Result, result)
