"""What mmengine goes on from beside the parameters: a file that has all of it, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from convnext_dense.upstream.safe_checkpoint import read_checkpoint

# What mmengine takes without a look, and what each has to be.
_KINDS: dict[str, type] = {
    "meta": Mapping,
    "meta.iter": int,
    "meta.epoch": int,
    "state_dict": Mapping,
    "message_hub": Mapping,
    "message_hub.log_scalars": Mapping,
    "message_hub.runtime_info": Mapping,
    "message_hub.resumed_keys": Mapping,
}
_NAMES: dict[type, str] = {Mapping: "a dict", int: "a whole number of at least 0"}
_LONGEST = 2**63  # iterations; torch counts in as many bits
START_NEW_RUN = "Give it as load_from to begin a new run with its weights"


def require_resumable(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint, without its parameters, and check that a training can go on from it.

    Returns:
        Its content, with the parameters still on disk.

    Raises:
        FileNotFoundError: Where there is no such file.
        RefusedError: Where it names code.
        RuntimeError: Where it is not whole, or lacks what mmengine resumes from.
    """
    content = read_checkpoint(path, "cpu", mmap=True)
    faults = [
        f"{key} is not {_NAMES[kind]}"
        for key, kind in _KINDS.items()
        if not _is(value_at(content, key), kind)
    ]
    if faults:
        # Of a part that is not there, the parts are not worth a word.
        raise RuntimeError(refusal_message(path, faults[0]))
    return cast(dict[str, Any], content)  # all keys were found


def refusal_message(path: str | Path, fault: str) -> str:
    """Return the message that refuses a checkpoint for one fault."""
    return f"checkpoint {path} is not one that training can go on from: {fault}. {START_NEW_RUN}"


def value_at(content: object, key: str) -> object:
    """Return what stands under a key with dots, or None."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content


def is_count(value: object) -> bool:
    """Whether this is a number of iterations or epochs."""
    return type(value) is int and 0 <= value < _LONGEST


def _is(value: object, kind: type) -> bool:
    return is_count(value) if kind is int else isinstance(value, kind)
