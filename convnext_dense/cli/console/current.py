"""Print on the screen of the tool that runs, with the look that all tools share."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from convnext_dense.cli.console import elements
from convnext_dense.cli.console.screen import Screen
from convnext_dense.cli.flags import with_flags
from convnext_dense.ranks import rank
from convnext_dense.training.observer import Step

_screens: list[Screen] = []


@contextlib.contextmanager
def open_screen(*, verbose: bool = False) -> Iterator[Screen]:
    """Make the standard output the screen of all that is printed in this context.

    Args:
        verbose: Whether to show everything that other libraries say.
    """
    screen = Screen(sys.stdout, verbose=verbose)
    _screens.append(screen)
    try:
        with screen.sorted_out():
            yield screen
    finally:
        _screens.pop()


def current_screen() -> Screen:
    """Return the screen of the tool that runs, or one of the standard output as it is."""
    return _screens[-1] if _screens else Screen(sys.stdout)


def show_facts(rows: Mapping[str, str], screen: Screen | None = None) -> None:
    """Print facts by title, with flags instead of arguments, on this screen or the current one."""
    screen = screen or current_screen()
    shown = {title: with_flags(text) for title, text in rows.items()}
    screen.show(elements.facts(shown, screen.width))


def show_note(message: str, screen: Screen | None = None) -> None:
    """Print a note, such as where the run differs from its config; only rank 0 prints it."""
    if rank() == 0:
        screen = screen or current_screen()
        screen.show(elements.note(with_flags(message), screen.width))


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a live line of how many are done; only a terminal has one.

    Args:
        what: What is counted, such as ``pictures``.

    Returns:
        A function that gets how many are done and how many there are.
    """
    screen, begin = current_screen(), time.monotonic()

    def count(done: int, total: int) -> None:
        rate = done / max(time.monotonic() - begin, 1e-6)
        left = (total - done) / rate if rate else None
        step = Step(what, done, total, None, None, rate or None, left, None, is_logged=False)
        screen.draw(partial(elements.progress, step))

    try:
        yield count
    finally:
        screen.end_live()
