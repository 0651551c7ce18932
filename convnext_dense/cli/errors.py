"""Print every error of a command line as one line, unless ``--debug`` asks for a traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from convnext_dense.cli.flags import use_flags_of, with_flags
from convnext_dense.cli.output import print_text, safe_output, show_traceback
from convnext_dense.cli.program import use_program
from convnext_dense.extras import explain_missing
from convnext_dense.patches import enable
from convnext_dense.text import is_self_explaining, one_line


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug`` and ``--verbose``; :func:`run_tool` looks for them."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--verbose", action="store_true", help="show everything that other libraries say"
    )


def run_tool(main: Callable[[list[str]], None], argv: list[str] | None = None) -> int:
    """Call ``main``, and turn an exception into a message and an exit status.

    Args:
        main: Gets the arguments after the program's name.
        argv: The arguments; None means those of the process.

    Returns:
        0 on success, 1 on an error, 130 on Ctrl-C or SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else argv
    use_program("")
    use_flags_of("")
    try:
        # Here, since they need what an extra brings: the message then says so.
        from convnext_dense.cli.console.current import open_screen
        from convnext_dense.upstream.file_handlers import plain_files

        with safe_output(), open_screen(verbose="--verbose" in argv), plain_files():
            refuse_empty(argv)
            enable()
            main(argv)
    except KeyboardInterrupt as interrupt:
        print_text(f"\n{with_flags(str(interrupt)) or 'interrupted'}", lines=True, error=True)
        return 130
    except Exception as error:
        if "--debug" in argv:
            sys.excepthook = show_traceback
            raise
        print_text(f"error: {describe_error(error)}", error=True)
        return 1
    return 0


def refuse_empty(argv: Sequence[str]) -> None:
    """Refuse empty arguments, which cannot be a file, a name or a number.

    Raises:
        ValueError: If an argument is empty; the message names its flag.
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


def describe_error(error: Exception) -> str:
    """Return an exception as one line, with flags instead of Python's arguments."""
    if (missing := explain_missing(error)) is not None:
        return missing
    said = with_flags(one_line(error))
    # A surprise is an unexpected type, or another error's message within this one.
    is_surprise = f"{type(error.__cause__).__name__}: " in said or not is_self_explaining(error)
    return f"{said} (--debug shows where)" if is_surprise else said
