"""Processor, memory, shared memory and disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.files import write_whole
from convnext_dense.kernels import onednn
from convnext_dense.kernels.switched_off import device_name
from convnext_dense.limits import count_cores

GB = 1e9
# A training of the smallest published recipe on one device was seen to take as much.
LEAST_MEMORY = 4 * GB
# Loader processes pass each batch through it: 16 images of 800 x 1333 in float32 take 0.2 GB.
LEAST_SHARED = 1 * GB
# Three checkpoints of a Cascade Mask R-CNN of ConvNeXt-B with their optimizer take 5 GB.
LEAST_DISK = 6 * GB

SHARED_MEMORY = Path("/dev/shm")
# The limit of the container that this process runs in, by the version of cgroups.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_resources(examination: Examination) -> Iterator[Finding]:
    """Look at the processor, the memory, the shared memory and the disk."""
    cores = count_cores()
    fast = [
        str(t).removeprefix("torch.")
        for t in (torch.float32, torch.bfloat16)
        if onednn.available(t)
    ]
    yield Finding.judged(
        "processor",
        bool(fast),
        f"{device_name(torch.device('cpu'))}, {cores} cores, {torch.get_num_threads()} threads; "
        f"oneDNN's fused products in {' and '.join(fast) or 'no type'}",
        "a torch build with oneDNN (mkldnn) is several times as fast on a CPU",
        otherwise=Verdict.SLOW,
    )
    yield _size(
        "memory",
        free_memory(),
        LEAST_MEMORY,
        "smaller batches (`batch_size`), fewer loader processes",
        Verdict.SLOW,
    )
    if SHARED_MEMORY.is_dir():
        yield _size(
            "shared memory",
            shutil.disk_usage(SHARED_MEMORY).free,
            LEAST_SHARED,
            "give the container 8 GB of it (shm_size), or train with `workers=0`",
            Verdict.WRONG,
        )
    yield _disk(examination.work_dir)


def free_memory() -> float:
    """Return the bytes that this process may still take, in its container too."""
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free = float(
        sizes.get("MemAvailable", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    )
    for name in _MEMORY_LIMITS:
        limit = Path(name)
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            free = min(free, float(text))
    return free


def _size(name: str, free: float, least: float, remedy: str, if_less: Verdict) -> Finding:
    enough = free >= least
    wanted = "" if enough else f", {least / GB:.0f} GB are wanted"
    detail, figures = f"{free / GB:.1f} GB free{wanted}", {"bytes": int(free)}
    return Finding.judged(name, enough, detail, remedy, figures, otherwise=if_less)


def _disk(folder: Path) -> Finding:
    """Write a file where runs will write, and look at the room that is left."""
    existing = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    name = f"disk of {existing}"
    probe = existing / ".convnext_dense_doctor"
    try:
        write_whole(probe, "x" * 2**16)
    except OSError as error:
        return Finding(
            name, Verdict.WRONG, f"no file can be written: {error}", "name another `work_dir`"
        )
    finally:
        probe.unlink(missing_ok=True)
    free = shutil.disk_usage(existing).free
    if_less = Verdict.WRONG if free < GB else Verdict.SLOW
    return _size(name, free, LEAST_DISK, "make room, or keep fewer checkpoints", if_less)
