"""Count what a conversion changes or leaves out, with a few examples of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from convnext_dense.data.formats.source import Loss

_EXAMPLES = 3


@dataclass
class Change:
    """One kind of change.

    Attributes:
        what: What it is, and why.
        count: How often it occurred.
        pictures: How many pictures are not in the result because of it.
        objects: How many objects are not in the result because of it.
        is_error: Whether the source is wrong there, so that somebody should look at it.
        places: The first few places.
    """

    what: str
    count: int = 0
    pictures: int = 0
    objects: int = 0
    is_error: bool = False
    places: list[str] = field(default_factory=list)


class Tally:
    """Collects changes by kind, in bounded memory.

    Example:
        >>> tally = Tally()
        >>> tally.add("objects of no area", "a.txt, line 3", objects=1)
        >>> [(change.what, change.count) for change in tally.changes]
        [('objects of no area', 1)]
    """

    def __init__(self) -> None:
        self._kinds: dict[str, Change] = {}

    def add(
        self,
        what: str,
        place: str,
        *,
        pictures: int = 0,
        objects: int = 0,
        is_error: bool = False,
        count: int = 1,
    ) -> None:
        """Count a change; arguments as in :class:`Change`."""
        change = self._kinds.setdefault(what, Change(what, is_error=is_error))
        change.count += count
        change.pictures += pictures
        change.objects += objects
        if len(change.places) < _EXAMPLES and place not in change.places:
            change.places.append(place)

    def add_losses(self, losses: Iterable[Loss]) -> None:
        """Count what a reader reports."""
        for loss in losses:
            self.add(
                loss.what,
                loss.place,
                pictures=loss.pictures,
                objects=loss.objects,
                is_error=loss.error,
            )

    @property
    def changes(self) -> list[Change]:
        """All kinds, errors first."""
        return sorted(self._kinds.values(), key=lambda change: not change.is_error)
