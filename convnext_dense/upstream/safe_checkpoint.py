"""Checkpoints that load on today's torch, and run no code.

Fault: mmengine 0.10.7 saves its training state with ``HistoryBuffer`` objects, which torch 2.6 and
newer refuse to load, so that ``--resume`` fails; and it loads files from the web with
``weights_only=False``, which runs what they contain. The forks' loader allows ``getattr``, and
loads what it refuses with ``weights_only=False``. Reach: every load of mmengine, of any program
that imports this package; a file that torch loads loads here too. This file can go when mmengine
saves plain data and loads it with ``weights_only=True``.

mmengine's files name six globals. Five are allowed as they are; the sixth, ``builtins.getattr``,
is answered by a function that gives out ``HistoryBuffer``'s four statistics and nothing else.
Meta's and timm's training checkpoints name one more, ``argparse.Namespace``, which is plain data.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import pickle
import re
import tempfile
import threading
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer

from convnext_dense.upstream.checkpoint_damage import find_damage, is_mappable

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray

STATISTICS = ("mean", "max", "min", "current")
# torch's own way to load whatever a file contains where the call does not say.
SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
# A file's hash at the end of its name, as torch and OpenMMLab write it. Not a date.
HASH_IN_NAME = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8})\.(?:pth|pt|bin|safetensors)$")


class RefusedError(RuntimeError):
    """A checkpoint that would run code, or that asks for what plain data does not need."""


def install() -> None:
    """Make every load of a checkpoint by mmengine, from disk or web, a safe one."""
    register = mmengine_checkpoint.CheckpointLoader.register_scheme
    register("", load_from_local, force=True)
    register(["http://", "https://"], load_from_http, force=True)
    # The schemes of the model zoos call it by this name.
    mmengine_checkpoint.load_from_http = load_from_http
    if hasattr(mmengine_checkpoint, "_safe_torch_load"):  # the forks; other schemes call it
        mmengine_checkpoint._safe_torch_load = _read


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint from disk as mmengine asks for it.

    Nothing that it contains is run, unless torch's own switch says so, which mmengine's loader
    follows: see :func:`read_checkpoint`.
    """
    return read_checkpoint(filename, map_location, trust=_is_switched_off())


def read_checkpoint(
    filename: str | Path, map_location: Any = None, *, mmap: bool = False, trust: bool = False
) -> Any:
    """Load a checkpoint of torch or of safetensors with ``weights_only=True``.

    Args:
        filename: Path; ``~`` is the home folder.
        map_location: As for ``torch.load``.
        mmap: Whether to leave the parameters on disk until they are used, where the format allows
            it. The file must then stay as it is.
        trust: Whether to unpickle whatever the file contains, which can run any code.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If it is a safetensors file and that library is not installed.
        RefusedError: If it names a global that is not allowed.
        RuntimeError: If the file is not a whole checkpoint or is named as another format.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {str(filename)!r} is not a file here")
    if damage := find_damage(path):
        raise RuntimeError(f"checkpoint {path} {damage}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, map_location)
    try:
        return _read(path, map_location, mmap=mmap and is_mappable(path), trust=trust)
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error)) from None
    except Exception as error:
        # A damaged pickle ends in whatever its bytes happen to trip over.
        first_line = (str(error).splitlines() or [""])[0]
        raise RuntimeError(
            f"checkpoint {path} could not be read: {type(error).__name__}: {first_line}"
        ) from error


def load_from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> Any:
    """Download a checkpoint once and load it as from disk: see :func:`download`."""
    path = download(filename, model_dir, progress)
    return read_checkpoint(path, map_location, trust=_is_switched_off())


def download(url: str, model_dir: str | None = None, progress: bool = True) -> Path:
    """Download a checkpoint once, to torch's cache. What is not whole is not kept.

    In distributed runs rank 0 downloads first, and the others only where they do not see its cache.

    Args:
        url: Where the file's name ends in its hash (``-1a2b3c4d.pth``), it is checked. Other names
            get the address's hash added in the cache, since many files are called alike.
        model_dir: Folder to keep the file in, instead of torch's cache.
        progress: Whether to show a progress bar.

    Returns:
        Where the file lies.

    Raises:
        ConnectionError: If the file could not be downloaded.
        RuntimeError: If the hash is not the one in the name, or the file is not a whole checkpoint.
    """
    name = Path(urlparse(url).path)
    path = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints") / name.name
    if not HASH_IN_NAME.search(name.name):
        # After a dot, where it cannot be taken for the hash of the file.
        digits = hashlib.sha256(url.encode()).hexdigest()[:16]
        path = path.with_name(f"{name.stem}.{digits}{name.suffix}")
    failure = None
    if is_main_process():
        try:
            _download(url, path, progress)
        except Exception as error:  # the others wait below
            failure = error
    barrier()
    if failure:
        raise failure
    _download(url, path, progress=False)
    return path


def _download(url: str, path: Path, progress: bool) -> None:
    if path.exists():
        return
    digits = HASH_IN_NAME.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            file = Path(folder, path.name)
            torch.hub.download_url_to_file(url, str(file), digits and digits[1], progress=progress)
            _require_whole(file)
            file.replace(path)
    except (OSError, HTTPException) as error:  # urllib's errors among them
        raise ConnectionError(
            f"could not download {url}: {getattr(error, 'reason', error)}"
        ) from error
    except RuntimeError as error:
        raise RuntimeError(f"could not download {url}: {error}") from error


def _require_whole(file: Path) -> None:
    """Refuse what is left of a connection that broke off, which torch takes for the whole file."""
    try:
        read_checkpoint(file, "cpu", mmap=True)
    except (RefusedError, ImportError):
        return  # whole; it may be loaded with trust, or after an installation
    except RuntimeError as error:
        raise RuntimeError(str(error).replace(str(file), file.name)) from error


def _is_switched_off() -> bool:
    """Whether the user has told torch to load whatever a file contains."""
    return os.environ.get(SWITCH, "").lower() in ("1", "y", "yes", "true")


def _read(file: Any, map_location: Any = None, mmap: bool = False, trust: bool = False) -> Any:
    with _allow_mmengine:
        return torch.load(
            file, map_location=map_location, weights_only=not trust, mmap=mmap or None
        )


def _read_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
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
    """Allow what mmengine's files name while at least one thread loads.

    What is allowed holds for the whole process: ``torch.serialization.safe_globals`` alone would
    take it from the threads that still load when the first one is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._loading:
                # What the user allows stays allowed.
                allowed = torch.serialization.get_safe_globals()
                added = [entry for entry in _mmengine_globals() if entry not in allowed]
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
    # A dtype's state is restored only if its class is allowed too. The names of these have no dot,
    # so that no file can ask for them.
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


def _history_buffer_statistic(owner: Any, name: str) -> Any:
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(
            f"GLOBAL builtins.getattr asked for {name!r} of {type(owner).__name__}"
        )
    return getattr(owner, name)


def _refusal(path: Path, message: str) -> RuntimeError:
    refused = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", message)
    if not refused:
        detail = re.search(r"WeightsUnpickler error:\s*(.+)", message)
        first_line = (detail[1] if detail else message.splitlines()[0]).strip()
        return RuntimeError(f"checkpoint {path} could not be read: {first_line}")
    return RefusedError(
        f"checkpoint {path} is refused: it names {refused[1]}, which could run code. Use a file "
        "that holds parameters and plain data only"
    )
