"""The plan of a run, which each step takes and returns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.swap import Swap


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes:
        options: The options of the run.
        config: The config of the run. A step changes a copy of it; see :meth:`copy_config`.
        notes: What the user should know, such as settings that do not apply here.
        replaced: Values by dotted key that the option ``cfg_options`` replaced, None if there was
            none.
        splits: The splits (``train``, ``val``, ``test``) whose data is loaded.
        swap: Result of the swap, if the backbone was replaced.
        checkpoint: The checkpoint to resume a training from, or None.
        objects: The number of objects of each split that lists them, as COCO's files do.
    """

    options: RunOptions
    config: Config = field(default_factory=Config)
    notes: tuple[str, ...] = ()
    replaced: Mapping[str, object] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    swap: Swap | None = None
    checkpoint: str | None = None
    objects: Mapping[str, int] = field(default_factory=dict)

    def copy_config(self) -> Config:
        """Return a copy of the config for a step to change."""
        return copy.deepcopy(self.config)

    def changed(self, config: Config, *notes: str, **fields: Any) -> Plan:
        """Return the plan with another config, and with further notes."""
        return replace(self, config=config, notes=(*self.notes, *notes), **fields)
