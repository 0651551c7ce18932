"""Text that comes from data, such as names of classes, files and parameters, made safe to show."""

from __future__ import annotations

import unicodedata

# Control characters begin a terminal's commands, format characters reorder or hide text, lone
# surrogates cannot be encoded, and the separators are line breaks to some programs.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Persian, Indic scripts and emoji are written with them.
_JOINERS = "\u200c\u200d"


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
