"""Weights from the web: downloaded once, whole, and the same whenever they are used.

In a run mmengine, too, loads from the web by this: :mod:`convnext_dense.upstream.web_checkpoints`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process

from convnext_dense.download import WEIGHTS, fetch, sha256_of
from convnext_dense.files import write_error, write_whole
from convnext_dense.upstream.safe_checkpoint import (
    RefusedError,
    is_switched_off,
    read_checkpoint,
)

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

# A file's hash at the end of its name, as torch and OpenMMLab write it. Not a date.
HASH_IN_NAME = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8})\.(?:pth|pt|bin|safetensors)$")
# Of a name in the cache, with which suffixes are added to it.
LONGEST, LONGEST_SUFFIX = 150, 16


def load_from_http(
    filename: str,
    map_location: MAP_LOCATION = None,
    model_dir: str | None = None,
    progress: bool = True,
) -> object:
    """Download a checkpoint once and load it as from disk: see :func:`download`."""
    path = download(filename, model_dir, progress)
    return read_checkpoint(path, map_location, trust=is_switched_off())


def download(url: str, model_dir: str | None = None, progress: bool = True) -> Path:
    """Download a checkpoint once, to torch's cache.

    What is not whole is kept only to go on from, under another name. Beside the file its SHA-256 is
    recorded, as ``sha256sum`` writes it, and compared whenever the file is asked for again. In
    distributed runs rank 0 downloads first, and the others only where they do not see its cache.

    Args:
        url: Where the file's name ends in its hash (``-1a2b3c4d.pth``), it is checked. Other names
            get the address's hash added in the cache, since many files are called alike.
        model_dir: Folder to keep the file in, instead of torch's cache.
        progress: Whether to show a progress bar.

    Returns:
        Where the file lies.

    Raises:
        ConnectionError: If the file could not be downloaded.
        RuntimeError: If the hash is not the one in the name or on record, or the file is not a
            whole checkpoint.
        WriteError: If it could not be written.
    """
    path = place_in_cache(url, model_dir)
    failure = None
    if is_main_process():
        try:
            _download(url, path, progress)
        except Exception as error:  # the others wait below
            failure = error
    barrier()
    if failure:
        raise failure
    if not is_main_process():
        _download(url, path, progress=False)
    return path


def place_in_cache(url: str, model_dir: str | None = None) -> Path:
    """Return where a download is kept, be it there or not."""
    return Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints") / _name_in_cache(url)


def _name_in_cache(url: str) -> str:
    name = Path(urlparse(url).path).name
    if HASH_IN_NAME.search(name) and len(name) <= LONGEST:
        return name
    # After a dot, where it cannot be taken for the hash of the file. Nothing of the address is a
    # path or begins with a dot here.
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip(".") or "weights"
    digits = hashlib.sha256(url.encode()).hexdigest()[:16]
    suffix = Path(name).suffix
    if len(suffix) > LONGEST_SUFFIX:
        suffix = ""
    return f"{name.removesuffix(suffix)[:LONGEST]}.{digits}{suffix}"


def _download(url: str, path: Path, progress: bool) -> None:
    record = path.with_name(f"{path.name}.sha256")
    if path.exists():
        _compare(url, path, record)
        return
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        held = part.open("ab")
    except OSError as error:
        raise write_error(part, error) from error
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another process may be at it
        try:
            if path.exists():
                return
            fetch(url, part, limit=WEIGHTS, show=progress)
            try:
                digest = _check(url, part)
            except BaseException:
                part.unlink()
                raise
            os.fsync(held.fileno())
            write_whole(record, f"{digest}  {path.name}\n")
            part.replace(path)
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()


def _check(url: str, part: Path) -> str:
    """Return the hash of what came, which is the one in its name and a whole checkpoint."""
    digest = sha256_of(part)
    wanted = HASH_IN_NAME.search(Path(urlparse(url).path).name)
    if wanted and not digest.startswith(wanted[1]):
        raise RuntimeError(
            f"could not download {url}: its SHA-256 begins with {digest[:8]}, not with {wanted[1]}"
        )
    try:
        read_checkpoint(part, "cpu", mmap=True)
    except (RefusedError, ImportError):
        pass  # whole; it may be loaded with trust, or after an installation
    except RuntimeError as error:
        name = Path(urlparse(url).path).name
        raise RuntimeError(
            f"could not download {url}: {str(error).replace(str(part), name)}"
        ) from error
    return digest


def _compare(url: str, path: Path, record: Path) -> None:
    """Refuse a cached file that is no longer what was downloaded."""
    wanted = record.read_text().partition(" ")[0] if record.is_file() else ""
    in_name = HASH_IN_NAME.search(path.name)
    wanted = wanted or (in_name[1] if in_name else "")  # torch's downloader keeps no record
    if wanted and not sha256_of(path).startswith(wanted):
        raise RuntimeError(
            f"{path} is no longer what was downloaded from {url}: its SHA-256 does not begin with "
            f"{wanted[:16]}; delete it to get it anew"
        )
