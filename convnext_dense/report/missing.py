"""Parts of the page that cannot be had: the page says why, and shows the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True)
class Missing:
    """Why a part of the page is not there.

    Attributes:
        why: In a sentence.
        commands: Command lines that would give it.
    """

    why: str
    commands: Sequence[str] = ()


def attempt(what: str, make: Callable[..., Part], *args: object) -> Part | Missing:
    """Make a part of the page, or say why it is missing.

    Args:
        what: What the page calls it.
        make: Called with ``args``.
        *args: Its arguments.
    """
    try:
        return make(*args)
    except Exception as error:  # whatever a name or a number of the run's files leads to
        return Missing(f"{what} cannot be shown: {sentence(error)}")


def sentence(error: Exception) -> str:
    """Put an error into one line."""
    message = " ".join(str(error).split())
    known = isinstance(error, ValueError | OSError | RuntimeError | ImportError)
    return message if known and message else f"{type(error).__name__}: {message}"
