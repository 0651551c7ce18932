"""Configs that are read once, since mmengine takes a third of a second for one."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

from mmengine.config import Config

from convnext_dense.config.read_config import read_config

CONFIGS = Path(__file__).parents[1] / "configs"

_read = functools.cache(functools.partial(read_config, import_custom_modules=False))


def load(name: str) -> Config:
    """Return a copy: of ours by the path below configs/, of mmdet's and mmseg's by the scope."""
    return copy.deepcopy(_read(name if "::" in name else CONFIGS / name))
