"""Download weights once, check that they are whole, and that they never change afterwards.

In a run, mmengine uses this too: see :mod:`convnext_dense.upstream.web_checkpoints`.
"""

from __future__ import annotations

import contextlib
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
from convnext_dense.files import as_write_error, write_whole
from convnext_dense.upstream.safe_checkpoint import RefusedError, is_switched_off, read_checkpoint

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

# A hash at the end of a file's name, as torch and OpenMMLab write it. A date is not a hash.
HASH_IN_NAME = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8})\.(?:pth|pt|bin|safetensors)$")
# Characters of a name in the cache without its suffix, and of a suffix.
LONGEST, LONGEST_SUFFIX = 150, 16


def load_from_http(
    filename: str,
    map_location: MAP_LOCATION = None,
    model_dir: str | None = None,
    progress: bool = True,
) -> object:
    """Download a checkpoint once, and load it: see :func:`download`."""
    path = download(filename, model_dir, progress)
    return read_checkpoint(path, map_location, trust=is_switched_off())


def download(url: str, model_dir: str | None = None, progress: bool = True) -> Path:
    """Download a checkpoint once, to torch's cache.

    An incomplete file is kept under another name, so that the next download continues it. The
    SHA-256 is recorded beside the file, as ``sha256sum`` writes it, and checked whenever the file
    is asked for again. In distributed runs rank 0 downloads first, and other ranks only if they do
    not see its cache.

    Args:
        url: If the file's name ends in a hash (``-1a2b3c4d.pth``), the hash is checked. In the
            cache, other names get the hash of the URL, since many files have the same name.
        model_dir: Folder to keep the file in, instead of torch's cache.
        progress: Whether to show a progress bar.

    Returns:
        Path of the file.

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
    """Return the path of a download in the cache, whether it exists or not."""
    return Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints") / _name_in_cache(url)


def _name_in_cache(url: str) -> str:
    name = Path(urlparse(url).path).name
    if HASH_IN_NAME.search(name) and len(name) <= LONGEST:
        return name
    # The URL's hash comes after a dot, so that it cannot be mistaken for the file's hash. The name
    # must contain no path and must not begin with a dot.
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
    with as_write_error(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        held = part.open("ab")
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another process may be downloading it
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
            # Whoever waited for the lock as well may have removed it.
            with contextlib.suppress(FileNotFoundError):
                if not part.stat().st_size:
                    part.unlink()


def _check(url: str, part: Path) -> str:
    """Return the SHA-256 of a download, or refuse it if its hash or its content is wrong."""
    digest = sha256_of(part)
    wanted = HASH_IN_NAME.search(Path(urlparse(url).path).name)
    if wanted and not digest.startswith(wanted[1]):
        raise RuntimeError(
            f"could not download {url}: its SHA-256 begins with {digest[:8]}, not with {wanted[1]}"
        )
    try:
        read_checkpoint(part, "cpu", mmap=True)
    except (RefusedError, ImportError):
        pass  # it is whole, and can be loaded with trust=True or after an installation
    except RuntimeError as error:
        name = Path(urlparse(url).path).name
        raise RuntimeError(
            f"could not download {url}: {str(error).replace(str(part), name)}"
        ) from error
    return digest


def _compare(url: str, path: Path, record: Path) -> None:
    """Refuse a cached file that has changed since it was downloaded."""
    wanted = record.read_text().partition(" ")[0] if record.is_file() else ""
    in_name = HASH_IN_NAME.search(path.name)
    wanted = wanted or (in_name[1] if in_name else "")  # torch's downloader keeps no record
    if wanted and not sha256_of(path).startswith(wanted):
        raise RuntimeError(
            f"{path} has changed since it was downloaded from {url}: its SHA-256 does not begin "
            f"with {wanted[:16]}; delete it to download it again"
        )
