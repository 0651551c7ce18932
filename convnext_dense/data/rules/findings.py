"""Collect what a check finds: its level, what it is and where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from convnext_dense.text import one_line

ERROR, WARNING, NOTE = LEVELS = ("error", "warning", "note")
# Errors that the data sets of mmdet and mmseg, and our checks, raise for bad data.
_REFUSALS = (ValueError, OSError, AssertionError, KeyError, TypeError, ImportError)


@dataclass(frozen=True)
class Finding:
    """One kind of fault or remark, with all places where it occurs.

    Attributes:
        level: ``error`` if training would fail or be wrong, ``warning`` if it would run but
            probably not as intended, ``note`` for something normal that is good to know.
        where: The splits that it concerns, such as ``train`` or ``val, test``.
        what: What it is, and what to do.
        places: The files, or the records with the field and its value; empty if ``what`` names the
            place.
        source: The annotation file; empty if the places are files.
        refusal: The type of the exception that refuses a run because of it.
    """

    level: str
    where: str
    what: str
    places: tuple[str, ...] = ()
    source: str = ""
    refusal: type[Exception] = ValueError

    @property
    def count(self) -> int:
        """The number of places, at least 1."""
        return len(self.places) or 1

    @property
    def sentence(self) -> str:
        """The message of a run: the file, the first place, what it is, and how often it occurs."""
        if not self.places:
            return self.what
        source = f"annotation file {self.source}: " if self.source else ""
        often = f" (the first of {self.count})" if self.count > 1 else ""
        return f"{source}{self.places[0]}; {self.what}{often}"


@dataclass
class Findings:
    """Collects what is found in one data set.

    Attributes:
        where: The splits that read the data set.
        source: The annotation file, where it has one.
        found: The findings, in the order in which they were added.
    """

    where: str
    source: str = ""
    found: list[Finding] = field(default_factory=list)

    def add_error(
        self, what: str, places: Iterable[object], refusal: type[Exception] = ValueError
    ) -> None:
        """Add an error, unless ``places`` is empty."""
        self._add(ERROR, what, places, refusal)

    def add_warning(self, what: str, places: Iterable[object]) -> None:
        """Add a warning, unless ``places`` is empty."""
        self._add(WARNING, what, places)

    def add_note(self, what: str, places: Iterable[object]) -> None:
        """Add a note, unless ``places`` is empty."""
        self._add(NOTE, what, places)

    def _add(
        self,
        level: str,
        what: str,
        places: Iterable[object],
        refusal: type[Exception] = ValueError,
    ) -> None:
        named = tuple(map(str, places))
        if named:
            self.found.append(Finding(level, self.where, what, named, self.source, refusal))

    def add_remark(self, what: str) -> None:
        """Add a note about the data set as a whole."""
        self.found.append(Finding(NOTE, self.where, what))

    def has_error(self) -> bool:
        """Whether an error was found so far."""
        return bool(self.of_level(ERROR))

    def of_level(self, level: str) -> list[Finding]:
        """Return the findings of a level so far."""
        return [finding for finding in self.found if finding.level == level]

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        for finding in self.of_level(ERROR):
            raise finding.refusal(finding.sentence)

    @contextmanager
    def catch_refusals(self) -> Iterator[None]:
        """Catch an exception that the block raises for bad data, and add it as an error."""
        try:
            yield
        except _REFUSALS as error:
            refusal = FileNotFoundError if isinstance(error, OSError) else ValueError
            self.found.append(Finding(ERROR, self.where, one_line(error), refusal=refusal))
