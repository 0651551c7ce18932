"""Decide which class of the result each class of the sources becomes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations

from convnext_dense.text import listed, nearest_first

# Names that say that nothing is labelled there.
UNLABELLED = frozenset(
    ("void", "unlabelled", "unlabeled", "ignore", "ignored", "__ignore__", "_background_void_")
)
_NAMES_SHOWN = 20
# Share of equal letters from which two names may be one that was mistyped.
_ALIKE = 0.85
_MOST_COMPARED = 200  # letter by letter, since every two are


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
            raise ValueError(f"`drop` leaves no class of {listed(given, _NAMES_SHOWN)}")
        self._index = {name: index for index, name in enumerate(self.names)}
        self.notes += _similar([[self._of[n] for n in names] for names in sources], self.names)

    def index(self, label: str) -> int | None:
        """Return the index of the class that a source's class becomes, None if it is dropped."""
        return None if label in self._dropped else self._index[self._of[label]]


def _refuse_unknown(argument: str, names: Mapping | Sequence, known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = listed(nearest_first(name, known), _NAMES_SHOWN)
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
    pairs: dict[tuple[str, str], str] = {}
    for what, plain in _PLAIN.items():
        first: dict[str, str] = {}
        for name in names:
            one = first.setdefault(plain(name), name)
            if one != name:
                pairs.setdefault((one, name), what)
    # Two similar names of one source are two classes; names of two sources may be mistyped.
    everywhere = set.intersection(*map(set, sources))
    loose = [name for name in names if name not in everywhere]
    for one, other in combinations(loose[:_MOST_COMPARED], 2):
        together = any(one in own and other in own for own in sources)
        alike = SequenceMatcher(None, one.casefold(), other.casefold()).ratio() >= _ALIKE
        if alike and not together:
            pairs.setdefault((one, other), "a few letters")
    return [
        f"classes {one!r} and {other!r} differ only in {what}: `rename={{{other!r}: {one!r}}}` "
        "makes them one"
        for (one, other), what in pairs.items()
    ]


def _without_marks(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name)


_PLAIN: dict[str, Callable[[str], str]] = {
    "upper and lower case": str.casefold,
    "blanks, dashes and underscores": _without_marks,
    "a plural": lambda name: name.casefold().removesuffix("s"),
    "their Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "spelling": lambda name: _without_marks(
        unicodedata.normalize("NFKC", name).casefold()
    ).removesuffix("s"),
}
