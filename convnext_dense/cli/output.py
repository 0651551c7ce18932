"""What the tools print. Text from data never reaches a terminal or a log as it is."""

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
from typing import NoReturn

from convnext_dense.files import write_error
from convnext_dense.text import printable


def say(text: str = "", *, lines: bool = False, error: bool = False, end: str = "\n") -> None:
    """Print a line, with control characters escaped.

    Args:
        text: What to print.
        lines: Whether it is a text of several lines, such as a table. Without it a line break in
            the name of a class or file cannot pass for another line of ours.
        error: Print to stderr instead of stdout.
        end: What follows.

    Raises:
        WriteError: Where stdout is a file on a full disk, or a program that has ended.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(printable(text, lines=lines), end=end, file=stream, flush=True)
    except OSError as failure:
        raise write_error("to the standard output", failure) from failure


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """Escape control characters of log records, warnings and refused arguments.

    Arguments may be names of files that a pattern of the shell found. What a stream's encoding
    lacks is escaped as well.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    make_record, format_warning = logging.getLogRecordFactory(), warnings.formatwarning
    refuse = argparse.ArgumentParser.error

    def safe_record(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        with contextlib.suppress(Exception):  # logging itself reports wrong arguments
            record.msg, record.args = printable(record.getMessage(), lines=True), ()
        return record

    def safe_warning(*args: object, **kwargs: object) -> str:
        return printable(format_warning(*args, **kwargs), lines=True)

    def safe_refusal(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        refuse(parser, printable(message))

    logging.setLogRecordFactory(safe_record)
    warnings.formatwarning = safe_warning
    argparse.ArgumentParser.error = safe_refusal
    try:
        yield
    finally:
        logging.setLogRecordFactory(make_record)
        warnings.formatwarning = format_warning
        argparse.ArgumentParser.error = refuse


def show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback as Python does, with control characters escaped."""
    say("".join(traceback.format_exception(kind, error, trace)), lines=True, error=True, end="")
