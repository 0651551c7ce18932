"""How ``--help`` is laid out."""

from __future__ import annotations

import argparse
import textwrap


class LinesFormatter(argparse.HelpFormatter):
    """Keep the lines of a description, and fold those that are wider than the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = text.strip("\n").splitlines()
        return "\n".join(
            textwrap.fill(
                line,
                width,
                initial_indent=indent,
                subsequent_indent=f"{indent}    ",
                replace_whitespace=False,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in lines
        )
