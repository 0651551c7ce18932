"""Which fast paths are switched off on this machine, and why.

``CONVNEXT_DENSE_KERNELS=plain`` in the environment switches all of them off. A file that
``doctor`` writes switches off those that were wrong or slow on this machine; it counts for the
processor and the torch that it was written for, since a home folder may be shared by machines.
"""

from __future__ import annotations

import functools
import json
import os
import platform
from pathlib import Path

import torch

ENVIRONMENT = "CONVNEXT_DENSE_KERNELS"
# The two halves of a block, by the library of their kernels and the type that they compute in.
KERNELS = tuple(
    f"{library}.{half}.{dtype}"
    for library, dtypes in (
        ("onednn", ("float32", "bfloat16")),
        ("triton", ("float32", "bfloat16", "float16")),
    )
    for half in ("conv_norm", "mlp")
    for dtype in dtypes
)


def kernels_file() -> Path:
    """Return the path of the file; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "convnext_dense" / "kernels.json"


def device_name(device: torch.device) -> str:
    """Return the name of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def all_switched_off() -> bool:
    """Whether the environment switches all fast paths off.

    Raises:
        ValueError: If the variable has another value than ``plain``.
    """
    value = os.environ.get(ENVIRONMENT, "")
    if value not in ("", "plain"):
        raise ValueError(f"{ENVIRONMENT} is plain or not set, got {value!r}")
    return value == "plain"


@functools.cache
def switched_off(device: torch.device) -> dict[str, str]:
    """Return the kernels that are switched off for a device, and why, by their names.

    Raises:
        ValueError: If the file cannot be read, or names kernels that there are not.
    """
    return {
        entry["kernel"]: entry["why"]
        for entry in read_entries()
        if entry["device"] == device_name(device) and entry["torch"] == torch.__version__
    }


def read_entries() -> list[dict[str, str]]:
    """Return what the file holds: ``kernel``, ``why``, ``device`` and ``torch`` of each entry.

    Raises:
        ValueError: If the file is not as it is written.
    """
    path = kernels_file()
    try:
        entries = json.loads(path.read_text()) if path.is_file() else []
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} could not be read: {error}; delete it") from error
    keys = {"kernel", "why", "device", "torch"}
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or set(entry) != keys or entry["kernel"] not in KERNELS:
            raise ValueError(
                f"{path} does not hold what `doctor` writes: delete it, or write it anew"
            )
    return entries
