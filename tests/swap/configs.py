"""Configs of mmdet and mmseg, each read once, since mmengine needs a third of a second for one."""

from __future__ import annotations

import copy
import functools

from mmengine.config import Config

from convnext_dense.config.read_config import read_config

_read = functools.cache(functools.partial(read_config, import_custom_modules=False))


def zoo(name: str) -> Config:
    """Return a copy of a config, by its scope and path."""
    return copy.deepcopy(_read(name))
