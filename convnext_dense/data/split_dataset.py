"""A data set of a config, as one of its splits reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmengine.config import Config, ConfigDict

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset


@dataclass(frozen=True)
class SplitDataset:
    """A data set of mmdet or mmseg, and what the checks need to know of its config.

    Attributes:
        cfg: The config.
        split: ``train``, ``val`` or ``test``.
        key: The data set's dotted key in the config, for messages.
        config: Its dict in the config.
        built: The data set, built with ``lazy_init``.
    """

    cfg: Config
    split: str
    key: str
    config: ConfigDict
    built: BaseDataset

    @property
    def classes(self) -> Sequence[str]:
        """Names of its classes."""
        return self.built.metainfo["classes"]

    @property
    def evaluated(self) -> bool:
        """Whether it is compared with predictions, not trained on."""
        return self.split != "train"

    @property
    def argument(self) -> str:
        """The argument that names its annotations, in backticks for messages."""
        return "`ann_val`" if self.evaluated else "`ann_train`"

    @property
    def smallest_side(self) -> int:
        """The side in pixels below which mmdet leaves out images in training; else 0."""
        return 0 if self.evaluated else (self.built.filter_cfg or {}).get("min_size", 0)
