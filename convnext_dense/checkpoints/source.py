"""Read weights from a file, a URL, a model of the Hugging Face hub, or a state dict."""

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

# `timm/...`, `facebook/...` and `laion/...` are models of the hub unless such a file exists here.
# Models of other owners need the prefix `hf-hub:`, since owner/name looks like a path.
HUB_ID = re.compile(r"(?:hf-hub:[\w.-]+|timm|facebook|laion)/[\w.-]+")
# How huggingface_hub says it, at length.
_NO_CONNECTION = re.compile(r"An error happened while trying .* connection is on\.")
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", INDEX)


@dataclass(frozen=True)
class Source:
    """Parameters and their source.

    Attributes:
        name: Path, URL or hub id, or ``state dict``.
        state: Parameters by name.
        key: Dotted key of the parameters in the checkpoint, or None.
        left: Keys of other sets of parameters in the checkpoint, such as ``model_ema``.
        prefix: The requested prefix, which their names no longer have, or None.
        path: The file on this machine that they were read from; None for several files or none.
        meta: What OpenMMLab's checkpoints store beside the parameters, such as the classes.
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
        """The SHA-256 of the file, or None for a state dict or several files."""
        return sha256_of(self.path) if self.path else None


def read_source(
    source: str | os.PathLike | Mapping,
    *,
    prefix: str | None = None,
    trust: bool = False,
    ema: bool = False,
    remedy: str = "",
) -> Source:
    """Read parameters from any source, without running code that a file contains.

    Args:
        source: Path, URL, hub id or (nested) state dict. A folder must be one of transformers.
        prefix: Take only the parameters under it: keys of containers, then the beginning of names.
        trust: Whether to unpickle a file that holds more than parameters and plain data.
        ema: Whether to take the moving averages of a checkpoint that holds both.
        remedy: What the user can do if the source could not be loaded.

    Raises:
        OSError: If the source could not be loaded.
        RuntimeError: If it is damaged, refused, or holds no parameters.
        ImportError: If it needs safetensors or huggingface_hub, and they are not installed.
    """
    if isinstance(source, Mapping):
        return _source(source, "state dict", prefix, ema)
    name = os.fspath(source)
    path = None
    try:
        if "://" in name and not name.startswith(("http://", "https://")):
            enable()  # mmengine knows the zoos' addresses; unpatched it would run code in the file
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
            reason += "; `trust=True` unpickles it anyway"
        message = f"the weights {name} could not be loaded ({reason})"
        raise type(error)(f"{message}: {remedy}" if remedy else message) from error
    return _source(checkpoint, name, prefix, ema, path)


def is_remote(name: str) -> bool:
    """Whether a name is a URL or a model of the hub, and not a file on this machine."""
    hub = HUB_ID.fullmatch(name) and not name.endswith(SUFFIXES) and not Path(name).exists()
    return "://" in name or bool(hub)


def _local_file(name: str) -> tuple[Path, Callable[[str], Path] | None]:
    """Return the file on this machine, downloaded if needed, and a function to get its neighbours.

    The function is None if the neighbours lie in the same folder.
    """
    if name.startswith(("http://", "https://")):
        return cached_download.download(name), None
    if is_remote(name):
        repo = name.removeprefix("hf-hub:")
        return _from_hub(repo, FILES), lambda file: _from_hub(repo, (file,))
    path = Path(name).expanduser()
    return (find_in_folder(path) if path.is_dir() else path), None


def folder_file(name: str, file: str) -> tuple[str, Path]:
    """Return a file of a folder here, or of a model on the hub whatever its owner.

    Args:
        name: The folder, or the id ``owner/name``.
        file: Name of the file in it.

    Returns:
        The name by which :func:`read_source` finds the weights beside it, and the file.

    Raises:
        FileNotFoundError: If there is neither such a folder nor such a model, or it lacks the file.
        OSError: If it could not be downloaded.
        ImportError: If it is on the hub, and huggingface_hub is missing.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / file).is_file():
            raise FileNotFoundError(f"the folder {name} has no {file}")
        return str(folder), folder / file
    repo = name.removeprefix("hf-hub:")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise FileNotFoundError(
            f"{name!r} is neither a folder here nor the id of a model, owner/name"
        )
    return f"hf-hub:{repo}", _from_hub(repo, (file,))


def _from_hub(repo: str, files: Sequence[str]) -> Path:
    by_hand = f"`hf download {repo}` on another machine prints the folder to copy"
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError:
        raise ImportError(
            f"{repo} is a model of the Hugging Face hub: pip install huggingface_hub, or download "
            "its file and give the path"
        ) from None
    for file in files:
        try:
            return _same_as_on_the_hub(Path(hf_hub_download(repo, file)))
        except errors.GatedRepoError as error:
            raise PermissionError(
                f"{repo} is gated: accept its licence at https://huggingface.co/{repo}, then run "
                f"`hf auth login` or set HF_TOKEN to a token of that account; {by_hand}"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"the hub has no model {repo}, or it is private and needs `hf auth login`"
            ) from error
        except (errors.EntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
            is_missing = isinstance(error, errors.EntryNotFoundError)
            # Without a connection, this error only says that the cache lacks the file.
            if not is_missing or isinstance(error, errors.LocalEntryNotFoundError):
                reason = _NO_CONNECTION.sub("there is no connection", str(error).splitlines()[0])
                raise ConnectionError(f"could not download {repo}: {reason}; {by_hand}") from error
            missing = error
    raise FileNotFoundError(f"{repo} on the hub has none of {', '.join(files)}") from missing


def _same_as_on_the_hub(path: Path) -> Path:
    """Return the path, or refuse a file of the hub's cache that has changed since its download."""
    digest = path.resolve().name  # the cache names large files by their SHA-256
    if re.fullmatch(r"[0-9a-f]{64}", digest) and sha256_of(path) != digest:
        raise RuntimeError(
            f"{path} has changed since it was downloaded: its SHA-256 is not {digest}; delete it "
            "to download it again"
        )
    return path


def _source(
    checkpoint: object, name: str, prefix: str | None, ema: bool, path: Path | None = None
) -> Source:
    found = find_parameters(checkpoint, name, prefix, ema)
    meta = meta_of(checkpoint) if found.key else {}
    return Source(name, found.state, found.key, found.left, prefix, path, meta)
