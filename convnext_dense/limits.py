"""How much is too much: processes and threads for this machine, images for one pass."""

from __future__ import annotations

import os

# Processes that load data wait for the disk at times, so some more than cores can be of use.
MOST_PER_CORE = 4
# That go through a network at once, and pixels along a side of each.
MOST_IMAGES = 4096
MOST_PIXELS = 32768


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_parallel(name: str, number: int) -> None:
    """Refuse more processes or threads than the cores can serve.

    Args:
        name: The key or argument that asks for them.
        number: How many.

    Raises:
        ValueError: Where it is above four per core.
    """
    cores = count_cores()
    if number > MOST_PER_CORE * cores:
        raise ValueError(
            f"{name} is at most {MOST_PER_CORE * cores} on this machine, {MOST_PER_CORE} for each "
            f"of {cores} cores, got {number}"
        )
