"""Print what a training or a test reports."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rich.text import Text

from convnext_dense.cli.console import elements
from convnext_dense.cli.console.current import show_facts, show_note
from convnext_dense.cli.console.screen import Screen
from convnext_dense.training.observer import Outcome, RunObserver, Step, Validation


class RunConsole(RunObserver):
    """Prints how a run begins, how far it is, its figures and what it leaves.

    Args:
        screen: Where it prints.
        next_command: Function that returns the command that comes after a training.
    """

    def __init__(
        self, screen: Screen, next_command: Callable[[Outcome], str] = lambda outcome: ""
    ) -> None:
        self._screen = screen
        self._next_command = next_command
        self._notes: list[str] | None = []  # those before the first facts

    @contextlib.contextmanager
    def shown(self) -> Iterator[RunConsole]:
        """Print nothing after this context, and what is left to say at its end."""
        try:
            yield self
        finally:
            self._screen.end_live()
            self._show_notes()

    def note(self, message: str) -> None:
        """Print a note, such as where the run differs from its config; the first after the recipe.

        Only rank 0 prints it.
        """
        if self._notes is None:
            show_note(message, self._screen)
        else:
            self._notes.append(message)

    def facts(self, rows: Mapping[str, str]) -> None:
        """Print facts about the run."""
        show_facts(rows, self._screen)
        self._show_notes()
        if "log" in rows:  # the last of them
            self._screen.show("")

    def step(self, step: Step) -> None:
        """Draw the live line; without a terminal, print a line where mmengine logs."""
        if self._screen.verbose:
            return  # mmengine's log has it
        if self._screen.is_terminal:
            is_last = step.number == step.total
            self._screen.draw(partial(elements.progress, step), is_last=is_last)
        elif step.is_logged:
            self._print(elements.progress(step))

    def validated(self, validations: Sequence[Validation], best: int, metric: str) -> None:
        """Print the last validations, with the best one marked."""
        self._print(elements.validations(validations, best, metric, self._screen.width))

    def ended(self, outcome: Outcome) -> None:
        """Print where everything is, and the next command."""
        self._screen.end_live()
        self._print("")
        self._print(elements.facts(outcome.rows, self._screen.width))
        if command := self._next_command(outcome):
            self._print(elements.command(command))

    def logged(self, record: logging.LogRecord, text: str) -> None:
        """Show a record that a user can act on."""
        self._screen.logged(record, text)

    def _show_notes(self) -> None:
        notes, self._notes = self._notes or [], None
        for message in notes:
            self.note(message)

    def _print(self, text: str | Text) -> None:
        with contextlib.suppress(OSError):  # a run continues if the screen is gone
            self._screen.show(text if isinstance(text, Text) else text.rstrip("\n"))
