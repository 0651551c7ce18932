"""Flags that take KEY=VALUE."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction


class Pairs(DictAction):
    """mmengine's action, which refuses by name what is not KEY=VALUE."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Store the values by their keys.

        Raises:
            ValueError: Naming the flag and what was given.
        """
        for pair in values:
            key, is_pair, value = pair.partition("=")
            if not (is_pair and key.strip()):
                raise ValueError(f"{option_string} takes KEY=VALUE, got {pair!r}")
            if not value.strip():
                raise ValueError(f"{option_string} {key}= has no value: None stands for none")
            try:
                super().__call__(parser, namespace, [pair], option_string)
            except AssertionError as error:  # of brackets that do not close
                raise ValueError(f"{option_string} {pair}: {error}") from error
