"""Where weights come from: a file, an address, a model of the hub, or a state dict."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from convnext_dense import cached_download
from convnext_dense.checkpoints.containers import find_parameters, meta_of
from convnext_dense.checkpoints.shards import FILES, INDEX, find_in_folder, read_shards
from convnext_dense.download import sha256_of
from convnext_dense.patches import enable
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

# `timm/...`, `facebook/...` and `laion/...` are models of the hub where no such file lies here; of
# another owner with the prefix alone, since owner/name looks like a path.
HUB_ID = re.compile(r"(?:hf-hub:[\w.-]+|timm|facebook|laion)/[\w.-]+")
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", INDEX)


@dataclass(frozen=True)
class Source:
    """Parameters, and where they were found.

    Attributes:
        name: Path, URL or hub id, or ``state dict``.
        state: Parameters by name.
        key: Keys of the checkpoint that they stood under, with dots, or None.
        left: Keys of other sets of parameters in the checkpoint, such as ``model_ema``.
        prefix: What was asked for and is taken off their names, or None.
        path: The one file here that they were read from, or None.
        meta: What the OpenMMLab stack notes beside the parameters, such as the classes.
    """

    name: str
    state: Mapping[str, Tensor]
    key: str | None = None
    left: tuple[str, ...] = ()
    prefix: str | None = None
    path: Path | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def checksum(self) -> str | None:
        """SHA-256 of the file, or None for a state dict or several files."""
        return sha256_of(self.path) if self.path else None


def read_source(
    source: str | os.PathLike | Mapping,
    *,
    prefix: str | None = None,
    trust: bool = False,
    ema: bool = False,
    remedy: str = "",
) -> Source:
    """Read parameters from wherever they are, without running anything that a file contains.

    Args:
        source: Path, URL, hub id or (nested) state dict. A folder is one that transformers wrote.
        prefix: Take only the parameters below it: keys of a checkpoint, then beginnings of names.
        trust: Whether to unpickle what is more than parameters and plain data.
        ema: Whether to take the moving averages of a checkpoint that holds both.
        remedy: What the user can do where the source cannot be had.

    Raises:
        OSError: Where the source cannot be had.
        RuntimeError: Where it is damaged, refused, or holds no parameters.
        ImportError: Where it needs safetensors or huggingface_hub, and they are not installed.
    """
    if isinstance(source, Mapping):
        return _source(source, "state dict", prefix, ema)
    name = os.fspath(source)
    path = None
    try:
        if "://" in name and not name.startswith(("http://", "https://")):
            enable()  # mmengine knows the zoo, and would run what it holds
            checkpoint = CheckpointLoader.load_checkpoint(name, map_location="cpu")
        else:
            file, fetch = _local_file(name)
            if file.name.endswith(INDEX):
                checkpoint = read_shards(file, fetch, trust=trust)
            else:
                checkpoint, path = read_checkpoint(file, "cpu", mmap=True, trust=trust), file
    except (OSError, RuntimeError) as error:
        reason = str(error)
        if "is refused" in reason and not trust:
            reason += "; `trust=True` unpickles it all the same"
        message = f"the weights {name} cannot be had ({reason})"
        raise type(error)(f"{message}: {remedy}" if remedy else message) from error
    return _source(checkpoint, name, prefix, ema, path)


def is_remote(name: str) -> bool:
    """Whether this is an address or a model of the hub, and no file here."""
    hub = HUB_ID.fullmatch(name) and not name.endswith(SUFFIXES) and not Path(name).exists()
    return "://" in name or bool(hub)


def _local_file(name: str) -> tuple[Path, Callable[[str], Path] | None]:
    """Return a file here, and what fetches others that lie beside it elsewhere."""
    if name.startswith(("http://", "https://")):
        return cached_download.download(name), None
    if is_remote(name):
        repo = name.removeprefix("hf-hub:")
        return _from_hub(repo, FILES), lambda file: _from_hub(repo, (file,))
    path = Path(name).expanduser()
    return (find_in_folder(path) if path.is_dir() else path), None


def _from_hub(repo: str, files: Sequence[str]) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )
    except ImportError:
        raise ImportError(
            f"{repo} is a model of the Hugging Face hub: pip install huggingface_hub, or download "
            "its file and give the path"
        ) from None
    for file in files:
        try:
            return _same_as_on_the_hub(Path(hf_hub_download(repo, file)))
        except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
            is_missing = isinstance(error, EntryNotFoundError)
            # Without a connection it is the cache that has no such entry.
            if not is_missing or isinstance(error, LocalEntryNotFoundError):
                first_line = str(error).partition("\n")[0]
                raise ConnectionError(f"could not download {repo}: {first_line}") from error
            missing = error
    raise FileNotFoundError(f"{repo} on the hub has none of {', '.join(files)}") from missing


def _same_as_on_the_hub(path: Path) -> Path:
    """Refuse a file of the hub's cache that is no longer what was downloaded."""
    digest = path.resolve().name  # so does the cache call what it keeps
    if re.fullmatch(r"[0-9a-f]{64}", digest) and sha256_of(path) != digest:
        raise RuntimeError(
            f"{path} is no longer what was downloaded: its SHA-256 is not {digest}; delete it to "
            "get it anew"
        )
    return path


def _source(
    checkpoint: object, name: str, prefix: str | None, ema: bool, path: Path | None = None
) -> Source:
    found = find_parameters(checkpoint, name, prefix, ema)
    meta = meta_of(checkpoint) if found.key else {}
    return Source(name, found.state, found.key, found.left, prefix, path, meta)
