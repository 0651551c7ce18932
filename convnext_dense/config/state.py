"""A plan on its way: what a step gets, and what it returns."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.swap import Swap


@dataclass(frozen=True)
class Plan:
    """A run as far as it is planned.

    Attributes:
        options: What is asked for.
        config: The config of the run. A step changes a copy of it; see :meth:`copy_config`.
        notes: What the user should know, such as what was not done as the config says.
        splits: Which of ``train``, ``val`` and ``test`` the run loads.
        swap: How the backbone was put under the config, if it was.
        checkpoint: The checkpoint that a training goes on from, or None.
    """

    options: RunOptions
    config: Config = field(default_factory=Config)
    notes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    swap: Swap | None = None
    checkpoint: str | None = None

    def copy_config(self) -> Config:
        """Return a copy of the config for a step to change."""
        return copy.deepcopy(self.config)

    def changed(self, config: Config, *notes: str, **fields: Any) -> Plan:
        """Return the plan with another config, and with further notes."""
        return replace(self, config=config, notes=(*self.notes, *notes), **fields)
