"""What one process of a run decides for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mmengine.dist import broadcast_object_list, is_main_process

Result = TypeVar("Result")


def decided_by_rank_0(decide: Callable[[], Result]) -> Result:
    """Call a function on rank 0 alone, and return its result in every process of the run.

    Where it fails, every process raises its error: none waits for one that is gone.

    Args:
        decide: Called without arguments. Its result and errors can be pickled.

    Raises:
        Exception: What the function raised on rank 0.
    """
    result: Result | None = None
    error: Exception | None = None
    if is_main_process():
        try:
            result = decide()
        except Exception as raised:
            error = raised
    outcome = [result, error]
    broadcast_object_list(outcome)  # does nothing where there is one process
    result, error = outcome
    if error is not None:
        raise error
    return result
