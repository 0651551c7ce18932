"""How this process was called: as ``convnext-dense``, as a module, or as a file of ``tools/``."""

from __future__ import annotations

import sys
from pathlib import Path

CONSOLE = "convnext-dense"
MODULE = "python -m convnext_dense"
# Files of ``tools/`` that have another name than their subcommand.
FILES = {"swap": "swap_backbone", "data shapes": "make_shapes"}
_program = ""


def use_program(name: str) -> None:
    """Make messages name this program from now on.

    Args:
        name: :data:`CONSOLE` or :data:`MODULE`; empty: the files of ``tools/``.
    """
    global _program
    _program = name


def called(subcommand: str) -> str:
    """Return what calls a subcommand here.

    Args:
        subcommand: Its name, perhaps with one of its own, such as ``data check``.

    Example:
        >>> called("train"), called("data check"), called("data shapes")
        ('tools/train.py', 'tools/data.py check', 'tools/make_shapes.py')
    """
    if _program:
        return f"{_program} {subcommand}"
    if subcommand in FILES:
        return f"tools/{FILES[subcommand]}.py"
    name, *rest = subcommand.split()
    return " ".join([f"tools/{FILES.get(name, name)}.py", *rest])


def words_of(subcommand: str) -> list[str]:
    """Return the words that call a subcommand here from a shell."""
    words = called(subcommand).split()
    return words if _program else ["python", *words]


def program_words() -> list[str]:
    """Return the words that started this process, before its first argument."""
    return _program.split() or ["python", sys.argv[0]]


def used_program() -> str:
    """Return the name of the program as which the whole package was started."""
    return MODULE if Path(sys.argv[0]).name == "__main__.py" else CONSOLE
