"""Every error of a command line in one line, unless ``--debug`` asks for the traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from convnext_dense.cli.flags import speak_as, with_flags
from convnext_dense.cli.output import safe_output, say, show_traceback
from convnext_dense.patches import enable
from convnext_dense.text import is_self_explaining, one_line
from convnext_dense.upstream.file_handlers import plain_files


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``, which :func:`run` heeds."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Call ``main`` and turn what it raises into a message and an exit status.

    Args:
        main: Takes the arguments after the program's name.
        argv: The arguments; None takes those of the process.

    Returns:
        0 on success, 1 on an error, 130 on Ctrl-C or SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else argv
    speak_as("")
    try:
        with safe_output(), plain_files():
            refuse_empty(argv)
            enable()
            main(argv)
    except KeyboardInterrupt as interrupt:
        say(f"\n{with_flags(str(interrupt)) or 'interrupted'}", lines=True, error=True)
        return 130
    except Exception as error:
        if "--debug" in argv:
            sys.excepthook = show_traceback
            raise
        say(f"error: {describe(error)}", error=True)
        return 1
    return 0


def refuse_empty(argv: Sequence[str]) -> None:
    """Refuse arguments without a character, which stand for no file, name or number.

    Raises:
        ValueError: Naming the flag that such an argument was given to.
    """
    flag = ""
    for number, argument in enumerate(argv, 1):
        name, equals, value = argument.partition("=")
        is_flag = name.startswith("-") and name.strip("-") != ""
        if is_flag:
            flag = name
        if not argument.strip() or (is_flag and equals and not value.strip()):
            raise ValueError(
                f"{flag or f'argument {number}'} is empty: give a value"
                + (", or leave the flag out" if flag else "")
            )


def describe(error: Exception) -> str:
    """Put an exception into one line, which names flags where Python's callers have arguments."""
    said = with_flags(one_line(error))
    # Or the message of another, which is told within.
    is_surprise = f"{type(error.__cause__).__name__}: " in said or not is_self_explaining(error)
    return f"{said} (--debug shows where)" if is_surprise else said
