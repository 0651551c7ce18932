"""Change a config, and record each change with its reason."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, TypeVar

from mmengine.config import Config

MISSING = object()
Node = TypeVar("Node")


class SwapRefusedError(ValueError):
    """A config makes no sense with another backbone; the message says why."""


@dataclass(frozen=True)
class Change:
    """One key that a swap set or removed.

    Attributes:
        path: Dotted key, such as ``model.neck.in_channels``.
        old: The value before; None if the key is new.
        new: The value after; None if the key was removed.
        why: The reason, in a few words.
    """

    path: str
    old: object
    new: object
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {_brief(self.old)} -> {_brief(self.new)}  ({self.why})"


class Edits:
    """A copy of a config that is being changed, and the list of changes.

    The copy consists of plain dicts and lists. No two keys share an object, so that a change under
    one head never changes another head.

    Args:
        cfg: The config; it is not changed.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg: dict = _unshared(cfg.to_dict())
        self.changes: list[Change] = []
        self.warnings: list[str] = []
        self._undo: list[tuple[dict, str, Any]] = []

    def set(self, path: str, owner: dict, key: str, value: object, why: str) -> None:
        """Set ``owner[key]``, unless it has this value already; ``path`` is the owner's key."""
        old = owner.get(key)
        if key in owner and type(old) is type(value) and old == value:
            return
        self._undo.append((owner, key, old if key in owner else MISSING))
        owner[key] = value
        self.changes.append(Change(_join(path, key), copy.deepcopy(old), value, why))

    def drop(self, path: str, owner: dict, key: str, why: str) -> None:
        """Delete ``owner[key]`` if it exists; ``path`` is the owner's key."""
        old = owner.pop(key, MISSING)
        if old is not MISSING:
            self._undo.append((owner, key, old))
            self.changes.append(Change(_join(path, key), old, None, why))

    def undo(self, number: int) -> None:
        """Undo all changes except the first ``number``."""
        while len(self.changes) > number:
            self.changes.pop()
            owner, key, old = self._undo.pop()
            if old is MISSING:
                del owner[key]
            else:
                owner[key] = old

    def warn(self, message: str) -> None:
        """Add a warning for the user, once."""
        if message not in self.warnings:
            self.warnings.append(message)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _unshared(node: Node) -> Node:
    copied: Any = node
    if isinstance(node, dict):
        copied = {key: _unshared(value) for key, value in node.items()}
    elif isinstance(node, (list, tuple)) and type(node) in (list, tuple):
        copied = type(node)(_unshared(value) for value in node)
    return copied


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
