"""argparse actions that check the values of flags."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.config import DictAction


def number_or(word: str) -> Callable[[str], int | str]:
    """Return the ``type`` of an argument that is a whole number or one word."""

    def read(text: str) -> int | str:
        try:
            return word if text == word else int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"a number or {word}, got {text!r}") from None

    return read


class NumberAction(argparse.Action):
    """Store one or several finite numbers in a range.

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
        """Store the numbers.

        Raises:
            ValueError: If a number is out of range; the message names the flag.
        """
        given: list[Any] = values if isinstance(values, list) else [values]
        for value in given:
            for limit in self._broken_limits(value):
                name = max(self.option_strings, key=len) if self.option_strings else self.dest
                raise ValueError(f"{name} is {limit}, got {' '.join(map(str, given))}")
        setattr(namespace, self.dest, values)

    def _broken_limits(self, value: float | str) -> Iterator[str]:
        """Yield the limits that a value breaks."""
        if isinstance(value, str):  # the word of `number_or`
            return
        if not math.isfinite(value):
            yield "a finite number"
        if self.least is not None and value < self.least:
            yield f"at least {self.least}"
        if self.most is not None and value > self.most:
            yield f"at most {self.most}"


def add_number(
    parser: argparse._ActionsContainer,
    flag: str,
    help: str,
    *,
    type: Callable[[str], Any] = int,
    metavar: str | tuple[str, ...] = "N",
    **options: Any,
) -> None:
    """Add a flag whose value is a number in a range.

    Args:
        parser: Where it is added.
        flag: Its name.
        help: One line.
        type: Reads the value.
        metavar: Stands for the value in the help.
        options: Further arguments of :class:`NumberAction` and of ``add_argument``.
    """
    parser.add_argument(flag, action=NumberAction, help=help, type=type, metavar=metavar, **options)


class KeyValueAction(DictAction):
    """mmengine's action for KEY=VALUE, but other arguments are refused by name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Store the values by their keys.

        Raises:
            ValueError: If an argument is not KEY=VALUE; the message names it and the flag.
        """
        for pair in values:
            key, is_pair, value = pair.partition("=")
            if not (is_pair and key.strip()):
                raise ValueError(f"{option_string} takes KEY=VALUE, got {pair!r}")
            if not value.strip():
                raise ValueError(f"{option_string} {key}= has no value: None stands for none")
            try:
                super().__call__(parser, namespace, [pair], option_string)
            except AssertionError as error:  # brackets that are not closed
                raise ValueError(f"{option_string} {pair}: {error}") from error
