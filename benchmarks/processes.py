"""Run what is measured in processes of its own."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Sequence


def in_own_process(function: Callable, *args: object) -> object:
    """Return a function's result, computed in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def cpu_seconds(command: Sequence[str], status: int = 0, **options: object) -> float:
    """Return the CPU time of a process, user and system time added up.

    Args:
        command: The program and its arguments.
        status: What it has to exit with.
        **options: As for ``subprocess.Popen``.
    """
    process = subprocess.Popen(command, **options)
    _, waited, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(waited)
    assert process.returncode == status, (command, process.returncode)
    return usage.ru_utime + usage.ru_stime
