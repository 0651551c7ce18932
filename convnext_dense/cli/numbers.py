"""Flags that take numbers in a range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import Any


class Number(argparse.Action):
    """Store a finite number, or several, that lie in a range.

    Args:
        least: The lowest value.
        most: The highest value.
    """

    def __init__(
        self,
        *args: Any,
        least: float | None = None,
        most: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.least, self.most = least, most

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store what was given.

        Raises:
            ValueError: Where it is out of range, naming the flag.
        """
        given: list[Any] = values if isinstance(values, list) else [values]
        for value in given:
            for limit in self._broken(value):
                name = max(self.option_strings, key=len) if self.option_strings else self.dest
                raise ValueError(f"{name} is {limit}, got {' '.join(map(str, given))}")
        setattr(namespace, self.dest, values)

    def _broken(self, value: float) -> Iterator[str]:
        """Yield what a value is not."""
        if not math.isfinite(value):
            yield "a finite number"
        if self.least is not None and value < self.least:
            yield f"at least {self.least}"
        if self.most is not None and value > self.most:
            yield f"at most {self.most}"
