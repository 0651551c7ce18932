"""Limits of processes, threads and images, which catch mistyped numbers."""

from __future__ import annotations

import os

# Processes that load data sometimes wait for the disk, so more processes than cores can help.
MOST_PER_CORE = 4
# Images in one pass through a network, and pixels along each side.
MOST_IMAGES = 4096
MOST_PIXELS = 32768


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_parallel(name: str, number: int, remedy: str = "") -> None:
    """Refuse too many processes or threads for the cores of this machine.

    Args:
        name: The key or argument that states the number.
        number: Number of processes or threads.
        remedy: The end of the message.

    Raises:
        ValueError: If there are more than four per core.
    """
    cores = count_cores()
    if number > MOST_PER_CORE * cores:
        raise ValueError(
            f"{name} is at most {MOST_PER_CORE * cores} on this machine, {MOST_PER_CORE} for each "
            f"of {cores} cores, got {number}{remedy}"
        )
