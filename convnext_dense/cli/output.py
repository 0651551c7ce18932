"""Print text, with flags instead of arguments, and with control characters escaped."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

from convnext_dense.cli.flags import with_flags
from convnext_dense.files import as_write_error
from convnext_dense.text import printable


def print_text(
    text: str = "", *, lines: bool = False, error: bool = False, end: str = "\n"
) -> None:
    """Print a line, with control characters escaped, and with flags instead of arguments.

    Args:
        text: What to print.
        lines: Whether the text has several lines, such as a table. Its line breaks and backticks
            then stay as they are. Otherwise line breaks are escaped, so that one in the name of a
            class or file cannot look like a new message.
        error: Print to stderr instead of stdout.
        end: Printed after the text.

    Raises:
        WriteError: If stdout is a file on a full disk, or a program that has ended.
    """
    stream = sys.stderr if error else sys.stdout
    shown = printable(text if lines else with_flags(text), lines=lines)
    with as_write_error("to the standard output"):
        print(shown, end=end, file=stream, flush=True)


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """Escape control characters in log records, warnings and messages about arguments.

    Log records and warnings also get flags instead of arguments. An argument may be any file name,
    since the shell expands patterns. Characters that a stream's encoding lacks are escaped as well.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    make_record, format_warning = logging.getLogRecordFactory(), warnings.formatwarning
    refuse = argparse.ArgumentParser.error

    def safe_record(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        with contextlib.suppress(Exception):  # logging reports wrong arguments itself
            message = with_flags(record.getMessage())
            record.msg, record.args = printable(message, lines=True), ()
        return record

    def safe_warning(*args: Any, **kwargs: Any) -> str:
        return printable(with_flags(format_warning(*args, **kwargs)), lines=True)

    def safe_refusal(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        refuse(parser, printable(message))

    logging.setLogRecordFactory(safe_record)
    warnings.formatwarning = safe_warning
    argparse.ArgumentParser.error = safe_refusal  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        logging.setLogRecordFactory(make_record)
        warnings.formatwarning = format_warning
        argparse.ArgumentParser.error = refuse  # type: ignore[method-assign]


def show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback as Python does, but with control characters escaped."""
    print_text(
        "".join(traceback.format_exception(kind, error, trace)), lines=True, error=True, end=""
    )
