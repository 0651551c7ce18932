"""Where weights come from: a file, an address, a model of the hub, or a state dict."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from convnext_dense.upstream.safe_checkpoint import download, read_checkpoint

# Under which keys training loops keep the parameters, and their moving averages.
PLAIN = ("model", "state_dict")
AVERAGED = ("model_ema", "state_dict_ema")
# mmengine's EMAHook swaps them: beside this key the averages are those under `state_dict`.
SWAPPED = "ema_state_dict"
# `timm/...` and `facebook/...` are models of the hub where no such file lies here; of another
# owner with the prefix alone, since owner/name looks like a path.
HUB_ID = re.compile(r"(?:hf-hub:[\w.-]+|timm|facebook)/[\w.-]+")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")


@dataclass(frozen=True)
class Source:
    """Parameters, and where they were found.

    Attributes:
        name: Path, URL or hub id, or ``state dict``.
        state: Parameters by name.
        key: Key of the checkpoint that they stood under, or None.
        left: Keys of other sets of parameters in the checkpoint, such as ``model_ema``.
        path: The file here that it was read from, or None.
        meta: What the OpenMMLab stack notes beside the parameters, such as the classes.
    """

    name: str
    state: Mapping[str, Tensor]
    key: str | None = None
    left: tuple[str, ...] = ()
    path: Path | None = None
    meta: Mapping = field(default_factory=dict)

    @functools.cached_property
    def checksum(self) -> str | None:
        """SHA-256 of the file, or None for a state dict."""
        if self.path is None:
            return None
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def read_source(
    source: str | os.PathLike | Mapping,
    *,
    trust: bool = False,
    ema: bool = False,
    way_out: str = "",
) -> Source:
    """Read parameters from wherever they are, without running anything that a file contains.

    Args:
        source: Path, URL, hub id or (nested) state dict.
        trust: Whether to unpickle what is more than parameters and plain data.
        ema: Whether to take the moving averages of a checkpoint that holds both.
        way_out: What the user can do where the source cannot be had.

    Raises:
        OSError: Where the source cannot be had.
        RuntimeError: Where it is damaged, refused, or holds no parameters.
        ImportError: Where it needs safetensors or huggingface_hub, and they are not installed.
    """
    if isinstance(source, Mapping):
        return _unwrap(source, "state dict", None, ema)
    name = os.fspath(source)
    path = None
    try:
        if "://" in name and not name.startswith(("http://", "https://")):
            checkpoint = CheckpointLoader.load_checkpoint(name, map_location="cpu")
        else:
            path = _local_file(name)
            checkpoint = read_checkpoint(path, "cpu", mmap=True, trust=trust)
    except (OSError, RuntimeError) as error:
        reason = str(error)
        if "is refused" in reason:
            reason += "; trust=True (tools/weights.py --trust) unpickles it all the same"
        message = f"the weights {name} cannot be had ({reason})"
        raise type(error)(f"{message}: {way_out}" if way_out else message) from error
    return _unwrap(checkpoint, name, path, ema)


def is_remote(name: str) -> bool:
    """Tell an address or a model of the hub from a file here."""
    hub = HUB_ID.fullmatch(name) and not name.endswith(SUFFIXES) and not Path(name).exists()
    return "://" in name or bool(hub)


def below(prefix: str, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Take the parameters whose names begin with a prefix, and strip it.

    Raises:
        RuntimeError: Where there are none; the message shows what the names begin with.
    """
    prefix = prefix.removesuffix(".") + "."
    found = {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
    if not found:
        first = dict.fromkeys(name.partition(".")[0] for name in state)
        raise RuntimeError(
            f"{source} has no name that begins with the prefix {prefix!r}: its names begin with "
            f"{', '.join(map(repr, list(first)[:8]))}"
        )
    return found


def _local_file(name: str) -> Path:
    if name.startswith(("http://", "https://")):
        return download(name)
    if is_remote(name):
        return _from_hub(name.removeprefix("hf-hub:"))
    return Path(name).expanduser()


def _from_hub(repo: str) -> Path:
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
    for file in HUB_FILES:
        try:
            return Path(hf_hub_download(repo, file))
        except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
            is_missing = isinstance(error, EntryNotFoundError)
            # Without a connection it is the cache that has no such entry.
            if not is_missing or isinstance(error, LocalEntryNotFoundError):
                first_line = str(error).partition("\n")[0]
                raise ConnectionError(f"could not download {repo}: {first_line}") from error
            missing = error
    raise FileNotFoundError(f"{repo} on the hub has none of {', '.join(HUB_FILES)}") from missing


def _unwrap(checkpoint: object, name: str, path: Path | None, ema: bool) -> Source:
    key, left = None, ()
    found = checkpoint.state_dict() if isinstance(checkpoint, nn.Module) else checkpoint
    if isinstance(found, Mapping):
        sets = [k for k in (*PLAIN, *AVERAGED) if isinstance(found.get(k), Mapping)]
        swapped = [SWAPPED] if isinstance(found.get(SWAPPED), Mapping) else []
        wanted = [k for k in sets if swapped or (k in AVERAGED) == ema]
        if ema and not wanted:
            raise RuntimeError(
                f"{name} holds no averaged weights under {' or '.join(map(repr, AVERAGED))}: "
                f"leave ema=True out"
            )
        if sets:
            key = (wanted or sets)[0]
            left = tuple(other for other in (*sets, *swapped) if other != key)
            found = found[key]
    if not isinstance(found, Mapping):
        held = type(found).__name__
    elif found and all(isinstance(value, Tensor) for value in found.values()):
        meta = checkpoint.get("meta") if key else None
        meta = meta if isinstance(meta, Mapping) else {}
        return Source(name, found, key, left, path, meta)
    else:
        held = ", ".join(map(repr, found)) or "nothing"
    raise RuntimeError(
        f"{name} holds no parameters, neither bare nor under the key "
        f"{' or '.join(map(repr, PLAIN))}, but {held}"
    )
