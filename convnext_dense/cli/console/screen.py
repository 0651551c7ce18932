"""The terminal or file that a tool prints to, with at most one live line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, TextIO, cast

from mmengine.logging import MMLogger
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from convnext_dense.cli.console.libraries import (
    ACTIONABLE,
    Once,
    QuietLog,
    is_library,
    speaks_for_library,
)
from convnext_dense.ranks import rank
from convnext_dense.training.observer import ObserverHandler, RunObserver, send_to_observer

# Seconds between two changes of the live line.
_PAUSE = 0.1
# For terminals that do not know the characters of the bar.
_ASCII = str.maketrans("━─", "=-")


class Screen(RunObserver):
    """What a tool prints to.

    Without a terminal, lines are as long as they are, and nothing is live. Everything happens in
    the calling thread: a thread that draws could hold a lock while a loader forks its processes.

    Args:
        stream: Where it prints.
        verbose: Whether to show everything that other libraries say.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self.stream = stream
        self.verbose = verbose
        isatty = getattr(stream, "isatty", lambda: False)
        self.is_terminal = isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._rich = Console(
            file=cast(TextIO, _Terminal(stream)),
            force_terminal=self.is_terminal,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
        self._live: Live | None = None
        self._process = os.getpid()
        self._drawn = 0.0
        self._begun_line = ""
        self._once = Once()
        self._log = QuietLog()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None if lines may have any length."""
        return self._rich.width if self.is_terminal else None

    @property
    def is_live(self) -> bool:
        """Whether there is a live line now."""
        return self._live is not None

    def write(self, text: str) -> None:
        """Write text, above the live line if there is one."""
        if self._live is None:
            self.stream.write(text)
            self.stream.flush()
            return
        *lines, self._begun_line = f"{self._begun_line}{text}".split("\n")
        for line in lines:
            if os.getpid() == self._process:
                self._rich.print(Text.from_ansi(line))
            else:  # a loader's process, which cannot draw the live line again
                self.stream.write(f"\r\x1b[2K{line}\n")
                self.stream.flush()

    def show(self, text: str | Text) -> None:
        """Print a text of one or more lines; its style is left out if this is no terminal."""
        if self.is_terminal and isinstance(text, Text):
            self._rich.print(text)
        else:
            self.write(f"{text}\n")

    def draw(self, line: Callable[[int], Text], *, is_last: bool = False) -> None:
        """Draw the live line, unless it was drawn just now. Only a terminal has one.

        Args:
            line: Function that returns the line for a number of columns.
            is_last: Whether it stays for a while, so that it must be drawn.
        """
        if not self.is_terminal or os.getpid() != self._process:
            return
        now = time.monotonic()
        if now - self._drawn < _PAUSE and not is_last:
            return
        self._drawn = now
        if self._live is None:
            self._live = Live(
                console=self._rich,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            self._rich.show_cursor(True)  # a killed run would leave it hidden
        self._live.update(_Line(line), refresh=True)

    def end_live(self) -> None:
        """Delete the live line."""
        if self._live is not None:
            live, self._live, self._drawn = self._live, None, 0.0
            live.stop()
            if self._begun_line:
                self.show(self._begun_line)
                self._begun_line = ""

    def hide(self, text: str, level: int = logging.INFO) -> None:
        """Write a line into the log instead of printing it."""
        if os.getpid() == self._process:
            self._log.write(text, level)

    def logged(self, record: logging.LogRecord, text: str) -> None:
        """Show a record of a logger if a user can act on it, and all of them if verbose."""
        if self.verbose:
            self.show(text)
            return
        message = record.getMessage()
        if record.levelno < logging.ERROR and (
            record.levelno < logging.WARNING
            or rank() > 0
            or (speaks_for_library() and not ACTIONABLE.search(message))
        ):
            return  # the log has it
        if self._once.is_first(message):
            self.warn(message)

    def warn(self, message: str) -> None:
        """Print a warning."""
        self.show(Text(f"warning: {message}", style="yellow"))

    @contextlib.contextmanager
    def sorted_out(self) -> Iterator[None]:
        """Print in this context only what concerns the user; the rest goes to the log.

        That is what this package or the user's own code says, and what libraries say that a user
        can act on. A warning is given once.
        """
        before = logging.lastResort, warnings.showwarning
        if logging.lastResort is not None:
            logging.lastResort = ObserverHandler(self, logging.lastResort)
        warnings.showwarning = self._show_warning
        try:
            with (
                _default_log_sent_to(self),
                contextlib.redirect_stdout(cast(TextIO, _Stdout(self))),
                contextlib.redirect_stderr(cast(TextIO, _Stderr(self, sys.stderr))),
            ):
                yield
        finally:
            self.end_live()
            logging.lastResort, warnings.showwarning = before

    def _show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        if self.verbose:
            sys.stderr.write(text)
        elif not self._once.is_first(f"{category.__name__}: {message}"):
            return
        elif is_library(filename) and not ACTIONABLE.search(str(message)):
            self.hide(text.rstrip(), logging.WARNING)
        elif rank() == 0:
            sys.stderr.write(text)


class _Stream:
    """A stream in place of another, which has what it lacks, such as isatty and encoding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class _Terminal(_Stream):
    """A terminal that may be closed: a run continues without it."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


@contextlib.contextmanager
def _default_log_sent_to(screen: Screen) -> Iterator[None]:
    """Send to a screen what mmengine says before a run has its own logger.

    mmengine makes a logger for that when something is said, and imports torch to make it.
    """
    name, make, before = "mmengine", MMLogger.__init__, []

    def send(logger: MMLogger) -> None:
        before.append((logger, logger.handlers[:]))
        send_to_observer(logger, screen)

    @wraps(make)
    def make_and_send(logger: MMLogger, *args: Any, **kwargs: Any) -> None:
        make(logger, *args, **kwargs)
        if logger.instance_name == name:
            send(logger)

    if MMLogger.check_instance_created(name):
        send(MMLogger.get_instance(name))
    MMLogger.__init__ = make_and_send
    try:
        yield
    finally:
        MMLogger.__init__ = make
        for logger, handlers in before:
            logger.handlers[:] = handlers


class _Stdout(_Stream):
    """The standard output in :meth:`Screen.sorted_out`."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen.stream)
        self._screen = screen
        self._hidden = ""

    def write(self, text: str) -> int:
        if self._screen.verbose or not speaks_for_library():
            self._screen.write(text)
        else:
            *lines, self._hidden = f"{self._hidden}{text}".split("\n")
            for line in lines:
                self._screen.hide(line)
        return len(text)


class _Stderr(_Stream):
    """The standard error in :meth:`Screen.sorted_out`, which is written above a live line."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        super().__init__(stream)
        self._screen = screen

    def write(self, text: str) -> int:
        (self._screen if self._screen.is_live else self._stream).write(text)
        return len(text)


class _Line:
    """A line that is laid out anew whenever it is drawn, since a terminal can change its width."""

    def __init__(self, line: Callable[[int], Text]) -> None:
        self._line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self._line(options.max_width)
        text.no_wrap, text.overflow = True, "crop"
        if options.ascii_only:
            text.plain = text.plain.translate(_ASCII)
        yield text
