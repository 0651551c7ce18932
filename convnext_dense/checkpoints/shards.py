"""Read folders that transformers' ``save_pretrained`` wrote: one file, or shards and an index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from convnext_dense.checkpoints.containers import is_state
from convnext_dense.text import first_of
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

INDEX = ".index.json"
# A name with a path could lead out of the folder.
PLAIN_NAME = re.compile(r"\w[\w.-]*")
# Files that a folder, here or on the hub, may hold; the first one found is read.
FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    f"model.safetensors{INDEX}",
    f"pytorch_model.bin{INDEX}",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)


def find_in_folder(folder: Path) -> Path:
    """Return the file of weights, or the index of them, in a folder.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    found = [path for path in (folder / name for name in FILES) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"the folder {folder} has none of {', '.join(FILES)}")
    return found[0]


def read_shards(
    index: Path, fetch: Callable[[str], Path] | None = None, *, trust: bool = False
) -> dict[str, Tensor]:
    """Read the parameters that an index lists, from the files that it names.

    Args:
        index: File whose ``weight_map`` names the file of each parameter.
        fetch: Function that returns the path of a file by its name; None takes the index's folder.
        trust: As for reading one file.

    Raises:
        RuntimeError: If the index or a file is damaged, a file is not beside the index, or a
            parameter is not in the file that the index names.
    """
    files = _weight_map(index)
    state: dict[str, Tensor] = {}
    for file in dict.fromkeys(files.values()):
        path = fetch(file) if fetch else index.with_name(file)
        part = read_checkpoint(path, "cpu", mmap=True, trust=trust)
        names = [name for name, where in files.items() if where == file]
        held = part if is_state(part) else {}
        absent = [name for name in names if name not in held]
        if absent:
            raise RuntimeError(
                f"{file} lacks parameters that {index} lists for it: {first_of(absent)}"
            )
        state |= {name: held[name] for name in names}
    return state


def _weight_map(index: Path) -> Mapping[str, str]:
    try:
        files = json.loads(index.read_bytes())["weight_map"]
        names = set(files.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RuntimeError(f"{index} is not an index of shards: it has no weight_map") from None
    for name in names:
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
            raise RuntimeError(f"{index} names {name!r}, which is not a file beside it")
    if not files:
        raise RuntimeError(f"{index} names no parameter")
    return files
