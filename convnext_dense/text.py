"""Make text that comes from data, such as names of classes and files, safe to show."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

# Control characters can be commands to a terminal, format characters reorder or hide text, lone
# surrogates cannot be encoded, and some programs treat the separators as line breaks.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Persian, Indic scripts and emoji need these characters.
_JOINERS = "\u200c\u200d"
# Messages of these types are understood alone; for other types the type is shown too.
_SELF_EXPLAINING = (ValueError, OSError, RuntimeError, ImportError)


def printable(text: str, *, lines: bool = False) -> str:
    r"""Escape all characters of a text that a terminal could obey or hide.

    These are control characters (ANSI sequences begin with one), marks that change the direction
    of writing, and lone surrogates. Escaping twice is the same as escaping once.

    Args:
        text: Any text.
        lines: Whether to keep line breaks and tabs, for our own texts of several lines.

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
    """Return an exception's message in one line, with its type unless the message is enough."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("Original Traceback" in line for line in lines):  # from a data loader's worker
        kind, _, said = lines[-1].partition(": ")
        known = kind in [known.__name__ for known in _SELF_EXPLAINING]
        return said if known and said else lines[-1]
    message = " ".join(lines)
    if _is_sentence(error):
        return " ".join(str(error.args[0]).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"  # without Python's number of the error
    return message if is_self_explaining(error) else f"{type(error).__name__}: {message}"


def is_self_explaining(error: Exception) -> bool:
    """Whether an exception's message is understood without its traceback."""
    is_known = isinstance(error, _SELF_EXPLAINING) and bool(str(error).strip())
    return is_known or _is_sentence(error) or "Original Traceback" in str(error)


def _is_sentence(error: Exception) -> bool:
    """Whether a KeyError holds a sentence, which Python would put in quotes, and not only a key."""
    return isinstance(error, KeyError) and len(str(error).split()) > 5


def nearest_first(name: str, known: Iterable[str]) -> list[str]:
    """Sort known names by how much they look like a wrong one.

    Example:
        >>> nearest_first("kernel7", ["resnet", "kernel_5", "kernel_7"])
        ['kernel_7', 'kernel_5', 'resnet']
    """
    return sorted(known, key=lambda one: -SequenceMatcher(None, name, one).ratio())


def many(number: int, what: str) -> str:
    """Return a number of things: ``1 image``, ``2 images``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def listed(names: Sequence[object], most: int) -> str:
    """Return names with commas between them, and dots in the place of those beyond ``most``.

    Example:
        >>> listed(["cat", "dog", "owl"], 2)
        'cat, dog, ...'
    """
    return ", ".join([*map(str, names[:most]), *["..."] * (len(names) > most)])


def first_of(names: Sequence[str], shown: int = 6) -> str:
    """Join the first names with commas, and count the others.

    Example:
        >>> first_of(["a", "b", "c"], 2)
        'a, b, and 1 more'
    """
    more = f", and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def classes_argument(names: Sequence[str]) -> str:
    """Return the argument ``classes`` with these names, or a remedy if it cannot state them."""
    # The argument is split at commas, and its names are stripped.
    unfit = next((name for name in names if "," in name or name != name.strip() or not name), None)
    if unfit is not None:
        return (
            f"`classes` cannot state the name {unfit!r}: rename it in the file, or set "
            "metainfo.classes of the data sets and num_classes of the heads in a config"
        )
    return f"`classes={tuple(names)}`"
