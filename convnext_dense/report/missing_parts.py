"""Parts of the page that cannot be made: the page says why, and shows the other parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from convnext_dense.text import one_line

Part = TypeVar("Part")


@dataclass(frozen=True)
class MissingPart:
    """A part of the page that could not be made.

    Attributes:
        why: The reason, as a sentence.
        commands: Command lines that would make it possible.
    """

    why: str
    commands: Sequence[str] = ()


def make_part(what: str, make: Callable[..., Part], *args: object) -> Part | MissingPart:
    """Make a part of the page, or return why it is missing.

    Args:
        what: The part's name in the page.
        make: Makes the part from ``args``.
        *args: Its arguments.
    """
    try:
        return make(*args)
    except Exception as error:  # names and numbers in a run's files may cause any error
        return MissingPart(f"{what} cannot be shown: {one_line(error)}")
