"""Text that comes from data, such as names of classes, files and parameters, made safe to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Control characters begin a terminal's commands, format characters reorder or hide text, lone
# surrogates cannot be encoded, and the separators are line breaks to some programs.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Persian, Indic scripts and emoji are written with them.
_JOINERS = "\u200c\u200d"
# Their messages are written to stand alone; another type is a surprise, and worth naming.
_SELF_EXPLAINING = (ValueError, OSError, RuntimeError, ImportError)


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return a text with every character escaped that a terminal could obey or hide.

    These are control characters (ANSI sequences begin with one), marks that change the direction
    of writing, and lone surrogates. Done twice, it changes nothing more.

    Args:
        text: Any text.
        lines: Keep line breaks and tabs. For a text of our own that has several lines, not for a
            name.

    Example:
        >>> print(printable('red\x1b[31m'))
        red\x1b[31m
    """
    if text.isprintable():
        return text
    kept = _JOINERS + "\n\t" * lines
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in kept and unicodedata.category(char) in _ESCAPED
        else char
        for char in text
    )


def one_line(error: Exception) -> str:
    """Return what an exception says in one line, with its type where that is a surprise."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("Original Traceback" in line for line in lines):  # from a data loader's worker
        kind, _, said = lines[-1].partition(": ")
        known = kind in [known.__name__ for known in _SELF_EXPLAINING]
        return said if known and said else lines[-1]
    message = " ".join(lines)
    if _is_sentence(error):
        return " ".join(str(error.args[0]).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"  # without the number that Python puts first
    return message if is_self_explaining(error) else f"{type(error).__name__}: {message}"


def is_self_explaining(error: Exception) -> bool:
    """Whether what an exception says stands alone, so that nobody need look where it was raised."""
    is_known = isinstance(error, _SELF_EXPLAINING) and bool(str(error).strip())
    return is_known or _is_sentence(error) or "Original Traceback" in str(error)


def _is_sentence(error: Exception) -> bool:
    """Whether a KeyError holds more than a key, which Python puts in quotes."""
    return isinstance(error, KeyError) and len(str(error).split()) > 5


def classes_argument(names: Sequence[str]) -> str:
    """Return the argument ``classes`` with these names, or what to do where it cannot give them."""
    # It is split at commas, and the names are stripped.
    unfit = next((name for name in names if "," in name or name != name.strip() or not name), None)
    if unfit is not None:
        return (
            f"`classes` cannot give the name {unfit!r}, rename it in the file or set "
            "metainfo.classes of the data sets and num_classes of the heads in a config"
        )
    return f"`classes={tuple(names)}`"
