"""Checkpoints load on today's torch, and run no code.

Fault: mmengine 0.10.7 saves its training state with ``HistoryBuffer`` objects, which torch 2.6 and
newer refuse to load, so that no run can be resumed. The forks' loader allows ``getattr``, and loads
what it refuses with ``weights_only=False``.
Reach: every load of mmengine from disk, everybody's, from the start of a run on; a whole file that
torch loads loads here too, with all that it contains. ``torch.serialization.add_safe_globals``,
``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` and ``TORCH_FORCE_WEIGHTS_ONLY_LOAD`` mean what they mean to
torch: the first switch holds for calls that do not say what they trust, as mmengine's do not, by
which models are tested and predict. What this package reads itself, weights and the checkpoint that
a run resumes from, says that it trusts nothing.
Off-switch: its name, for the loads of mmengine.
End: when mmengine saves plain data and loads it with ``weights_only=True``.

mmengine's files name six globals. Five are allowed as they are; the sixth, ``builtins.getattr``,
is replaced by a function that returns only ``HistoryBuffer``'s four statistics. Meta's and timm's
training checkpoints name one more, ``argparse.Namespace``, which is plain data.
"""

from __future__ import annotations

import argparse
import functools
import os
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from convnext_dense.upstream.checkpoint_damage import find_damage, is_mappable

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray  # type: ignore[no-redef]

STATISTICS = ("mean", "max", "min", "current")
# torch's own switches for calls that do not say it: trust every file, or trust none.
TRUSTING = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
TRUSTING_NONE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class RefusedError(RuntimeError):
    """A checkpoint that could run code, or that needs more than plain data."""


def mend(module: ModuleType) -> None:
    """Make ``mmengine.runner.checkpoint`` load from disk by this module; safe to repeat."""
    module.CheckpointLoader.register_scheme("", load_from_local, force=True)
    if hasattr(module, "_safe_torch_load"):  # the forks; other schemes call it
        vars(module)["_safe_torch_load"] = _load_for_mmengine


def load_from_local(filename: str, map_location: MAP_LOCATION = None) -> object:
    """Load a checkpoint from disk for mmengine.

    No code in it is run, unless torch's own switch allows it: see :func:`read_checkpoint`.
    """
    return read_checkpoint(filename, map_location, trust=is_switched_off())


def read_checkpoint(
    filename: str | Path,
    map_location: MAP_LOCATION = None,
    *,
    mmap: bool = False,
    trust: bool = False,
) -> object:
    """Load a checkpoint of torch or of safetensors with ``weights_only=True``.

    Args:
        filename: Path; ``~`` is the home folder.
        map_location: As for ``torch.load``.
        mmap: Whether to leave the parameters on disk until they are used, if the format allows it.
            The file must not change meanwhile.
        trust: Whether to unpickle everything in the file, which can run any code.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it is a safetensors file and that library is not installed.
        RefusedError: If it names a global that is not allowed.
        RuntimeError: If the file is not a whole checkpoint or is named as another format.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(filename)!r} is not a file here")
    if damage := find_damage(path, any_pickle=trust):
        raise RuntimeError(f"checkpoint {path} {damage}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, map_location)
    try:
        return _read(path, map_location, mmap=mmap and is_mappable(path), trust=trust)
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error), trust) from None
    except Exception as error:
        # A damaged pickle may cause any error.
        first_line = (str(error).splitlines() or [""])[0]
        raise RuntimeError(
            f"checkpoint {path} could not be read: {type(error).__name__}: {first_line}"
        ) from error


def is_switched_off() -> bool:
    """Whether the user has made torch trust every file."""
    return _is_set(TRUSTING)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "y", "yes", "true")  # as torch reads them


def _load_for_mmengine(file: str | Path | IO[bytes], map_location: MAP_LOCATION = None) -> object:
    return _read(file, map_location, trust=is_switched_off())


def _read(
    file: str | Path | IO[bytes],
    map_location: MAP_LOCATION = None,
    mmap: bool = False,
    trust: bool = False,
) -> object:
    with _allow_mmengine:
        return torch.load(
            file, map_location=map_location, weights_only=not trust, mmap=mmap or None
        )


def _read_safetensors(path: Path, map_location: MAP_LOCATION) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ImportError(f"checkpoint {path} needs safetensors: pip install safetensors") from None
    try:
        return load_file(path, device=map_location if isinstance(map_location, str) else "cpu")
    except SafetensorError as error:
        # Fewer bytes than its table of contents says.
        is_short = "incomplete metadata" in str(error)
        says = "is truncated; get it anew" if is_short else f"could not be read: {error}"
        raise RuntimeError(f"checkpoint {path} {says}") from error


class _AllowMMEngine:
    """Allow the globals in mmengine's files while at least one thread loads.

    Allowed globals are the whole process's: with ``torch.serialization.safe_globals`` alone, the
    first thread to finish would remove them while other threads are still loading.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._loading:
                # The user's own allowed globals stay allowed.
                allowed = torch.serialization.get_safe_globals()
                added: list[Callable | tuple[Callable, str]] = [
                    entry for entry in _mmengine_globals() if entry not in allowed
                ]
                self._allowance = torch.serialization.safe_globals(added)
                self._allowance.__enter__()
            self._loading += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._loading -= 1
            if not self._loading:
                self._allowance.__exit__(*error)


@functools.cache
def _mmengine_globals() -> tuple[tuple[Any, str], ...]:
    # A dtype's state is restored only if its class is allowed too. Their names have no dot, so that
    # no file can name them.
    codes = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"
    dtypes = [(type(np.dtype(code)), f"dtype {code}") for code in codes]
    # numpy 2 moved the functions; a file may come from either.
    functions = [
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for core in ("core", "_core")
    ]
    return (
        (argparse.Namespace, "argparse.Namespace"),
        (HistoryBuffer, "mmengine.logging.history_buffer.HistoryBuffer"),
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
        (_history_buffer_statistic, "builtins.getattr"),
        *functions,
        *dtypes,
    )


_allow_mmengine = _AllowMMEngine()


def _history_buffer_statistic(owner: object, name: str) -> object:
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(
            f"GLOBAL builtins.getattr asked for {name!r} of {type(owner).__name__}"
        )
    return getattr(owner, name)


def _refusal(path: Path, message: str, trust: bool) -> RuntimeError:
    refused = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", message)
    if not refused:
        detail = re.search(r"WeightsUnpickler error:\s*(.+)", message)
        first_line = (detail[1] if detail else message.splitlines()[0]).strip()
        return RuntimeError(f"checkpoint {path} could not be read: {first_line}")
    remedy = "Use a file with only parameters and plain data"
    if trust and _is_set(TRUSTING_NONE):
        remedy += f", or unset {TRUSTING_NONE}"
    return RefusedError(
        f"checkpoint {path} is refused: it names {refused[1]}, which could run code. {remedy}"
    )
