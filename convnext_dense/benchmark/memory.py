"""Measure the peak memory of tensors, by the CUDA allocator, or on a CPU by torch's profiler.

On a CPU the process's resident size would be less exact, since allocators keep freed memory. Memory
that a library allocates for itself, such as oneDNN's scratchpads, is not counted there.
"""

from __future__ import annotations

import json
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from convnext_dense.benchmark.timing import synchronise


class MemoryWatch:
    """Watch allocations in a ``with`` block. This is slow: do not measure times in it.

    Attributes:
        peak: Bytes at the highest point beyond those at the start.
        left: Bytes at the end beyond those at the start.

    Example:
        >>> with MemoryWatch(torch.device("cpu")) as memory:
        ...     kept = torch.empty(1000).add(1)
        >>> memory.left
        4000
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak = self.left = 0

    def __enter__(self) -> MemoryWatch:
        if self.device.type == "cuda":
            synchronise(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            self._profiler.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.device.type == "cuda":
            synchronise(self.device)
            self.peak = torch.cuda.max_memory_allocated(self.device) - self._before
            self.left = torch.cuda.memory_allocated(self.device) - self._before
            return
        self._profiler.__exit__(*error)
        if error[0] is None:
            totals = list(accumulate(_changes(self._profiler), initial=0))
            self.peak, self.left = max(totals), totals[-1]


def _changes(profiler: profile) -> list[int]:
    """Return the bytes of each allocation, and of each release as negative, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    memory = [event for event in events if event.get("name") == "[memory]"]
    on_cpu = [event for event in memory if event["args"]["Device Type"] == 0]
    return [event["args"]["Bytes"] for event in sorted(on_cpu, key=lambda event: event["ts"])]
