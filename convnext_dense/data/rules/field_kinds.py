"""The kinds of values that COCO's format wants in fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TypeGuard, cast

# The id of an image or a category.
Id = int | str
# Larger whole numbers in JSON are not exact in every reader.
_MOST_EXACT = 2**53
# Pixels. No picture is wider, and drawing a polygon with longer sides would take long.
FARTHEST = 10**6
_MOST = 1e300
_LONGEST = 40


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        wants: Description of the kind, for messages.
        holds: Function that returns whether a value is of the kind.
    """

    wants: str
    holds: Callable[[object], bool]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number and not a boolean."""
    # Comparisons with NaN are false, and whole numbers of any length can be compared. Comparing
    # types is faster than isinstance with an abstract class, and COCO has millions of numbers.
    is_real = type(value) in (int, float) or (
        isinstance(value, Real) and not isinstance(value, bool)
    )
    return is_real and -_MOST < cast(float, value) < _MOST


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number, as 3 and 3.0 are in JSON."""
    if type(value) is int:
        return -_MOST_EXACT <= value <= _MOST_EXACT
    return is_number(value) and -_MOST_EXACT <= value <= _MOST_EXACT and value == int(value)


def is_id(value: object) -> TypeGuard[Id]:
    """Whether a value can be the id of an image or a category."""
    return is_whole(value) or isinstance(value, str)


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a text with more than blanks."""
    return isinstance(value, str) and bool(value.strip())


def is_coordinate(value: object) -> TypeGuard[float]:
    """Whether a value can be a coordinate or a length in a picture, in pixels."""
    return is_number(value) and -FARTHEST <= value <= FARTHEST


def is_side(value: object) -> TypeGuard[int]:
    """Whether a value can be the width or height of a picture."""
    return is_whole(value) and 0 < value <= FARTHEST


def is_box(value: object) -> TypeGuard[Sequence[float]]:
    """Whether a value is [x, y, width, height]; the sides may be 0."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return False
    return all(map(is_coordinate, value)) and value[2] >= 0 and value[3] >= 0


WHOLE = Kind("a whole number", is_whole)
ID = Kind("a whole number or a text", is_id)
TEXT = Kind("a text and not empty", is_text)
SIDE = Kind("a whole number of pixels above 0", is_side)
BOX = Kind(
    "[x, y, width, height], four finite numbers of pixels, the width and height not below 0", is_box
)
AREA = Kind("a finite number not below 0", lambda value: is_number(value) and value >= 0)
FLAG = Kind("0 or 1", lambda value: is_number(value) and value in (0, 1))


def as_json(value: object) -> str:
    """Return a value as JSON writes it, cut off if it is long."""
    if isinstance(value, float) and not is_number(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), str(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
