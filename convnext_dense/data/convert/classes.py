"""Decide which class of the result each class of the sources becomes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations

from convnext_dense.text import nearest_first

# Names that say that nothing is labelled there.
UNLABELLED = frozenset(
    ("void", "unlabelled", "unlabeled", "ignore", "ignored", "__ignore__", "_background_void_")
)
_NAMES_SHOWN = 20
# Share of equal letters from which two names may be one that was mistyped.
_ALIKE = 0.85


class Classes:
    """The classes of the result, and what those of the sources become.

    Args:
        sources: The names of the classes in each source.
        rename: New names by old ones. A name that exists merges the two.
        drop: Names, old or new, whose objects are left out.

    Attributes:
        names: The classes of the result, in the order of the sources.
        notes: Lines for people, about names that had to change.

    Raises:
        ValueError: If a name to rename or drop does not exist, or no class is left.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[str]],
        rename: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
    ) -> None:
        rename = dict(rename or {})
        self.notes: list[str] = []
        self._of: dict[str, str] = {}
        given = list(dict.fromkeys(name for names in sources for name in names))
        _refuse_unknown("rename", rename, given)
        for name in given:
            renamed = rename.get(name, name)
            self._of[name] = _stateable(renamed)
            if self._of[name] != renamed:
                self.notes.append(
                    f"class {renamed!r} is called {self._of[name]!r}: `classes` separates names by "
                    "commas"
                )
        renamed_to = list(dict.fromkeys(self._of.values()))
        _refuse_unknown("drop", drop, [*given, *(n for n in renamed_to if n not in given)])
        self._dropped = {name for name in given if name in drop or self._of[name] in drop}
        self.names: tuple[str, ...] = tuple(
            dict.fromkeys(self._of[name] for name in given if name not in self._dropped)
        )
        if not self.names and given:
            raise ValueError(f"`drop` leaves no class of {_listed(given)}")
        self._index = {name: index for index, name in enumerate(self.names)}
        self.notes += _similar([[self._of[n] for n in names] for names in sources], self.names)

    def index(self, label: str) -> int | None:
        """Return the index of the class that a source's class becomes, None if it is dropped."""
        return None if label in self._dropped else self._index[self._of[label]]


def _refuse_unknown(argument: str, names: Mapping | Sequence, known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = _listed(nearest_first(name, known))
            raise ValueError(f"`{argument}`: there is no class {name!r}; the classes are {near}")


def _stateable(name: str) -> str:
    """Return a name that a comma-separated list of an argument can hold."""
    kept = "".join(
        " " if char == "," or unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
        for char in name
    )
    return " ".join(kept.split()) or "unnamed"


def _similar(sources: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    """Return a note for each two classes that are probably meant to be one."""
    notes = []
    shared = set.intersection(*map(set, sources)) if len(sources) > 1 else set(names)
    for one, other in combinations(names, 2):
        differs = _difference(one, other)
        # Two similar names of one source are two classes; names of two sources may be mistyped.
        if differs is None and not (one in shared or other in shared):
            together = any(one in names and other in names for names in sources)
            ratio = SequenceMatcher(None, one.casefold(), other.casefold()).ratio()
            differs = "a few letters" if ratio >= _ALIKE and not together else None
        if differs:
            notes.append(
                f"classes {one!r} and {other!r} differ only in {differs}: "
                f"`rename={{{other!r}: {one!r}}}` makes them one"
            )
    return notes


_PLAIN: dict[str, Callable[[str], str]] = {
    "upper and lower case": str.casefold,
    "blanks, dashes and underscores": lambda name: re.sub(r"[\s_-]+", "", name),
    "a plural": lambda name: name.casefold().removesuffix("s"),
    "their Unicode form": lambda name: unicodedata.normalize("NFKC", name),
}


def _difference(one: str, other: str) -> str | None:
    """Return what two names differ in, if that is easily overlooked."""
    for what, plain in _PLAIN.items():
        if plain(one) == plain(other):
            return what
    a, b = one, other
    for plain in _PLAIN.values():
        a, b = plain(a), plain(b)
    return "spelling" if a == b else None


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
