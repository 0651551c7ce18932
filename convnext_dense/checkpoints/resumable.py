"""Check that a checkpoint has everything that mmengine needs to resume a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from convnext_dense.config_tree import value_at
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

# The type that each key must have. mmengine uses their values without a check.
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
_LONGEST = 2**63  # iterations; torch counts with 64 bits
START_NEW_RUN = "Give it as load_from to begin a new run with its weights"


def require_resumable(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint and check that a training can be resumed from it.

    Returns:
        Its content. The parameters stay on disk until they are used.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedError: If it contains code.
        RuntimeError: If it is damaged, or lacks something that mmengine needs to resume.
    """
    content = read_checkpoint(path, "cpu", mmap=True)
    faults = [
        f"{key} is not {_NAMES[kind]}"
        for key, kind in _KINDS.items()
        if not _is(value_at(content, key), kind)
    ]
    if faults:
        # The first fault is enough: if a dict is missing, all keys below it are missing too.
        raise RuntimeError(refusal_message(path, faults[0]))
    return cast(dict[str, Any], content)  # all keys were found


def refusal_message(path: str | Path, fault: str) -> str:
    """Return the message that refuses to resume from a checkpoint because of a fault."""
    return f"checkpoint {path} cannot be resumed from: {fault}. {START_NEW_RUN}"


def is_count(value: object) -> bool:
    """Whether a value can be a number of iterations or epochs."""
    return type(value) is int and 0 <= value < _LONGEST


def _is(value: object, kind: type) -> bool:
    return is_count(value) if kind is int else isinstance(value, kind)
