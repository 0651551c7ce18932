"""Read the config."""

from __future__ import annotations

import copy

from mmengine.config import Config

from convnext_dense.config.read_config import read_config
from convnext_dense.config.state import Plan


def read(plan: Plan) -> Plan:
    """Read the config from its file, or copy the one that was given.

    What only the old backbone needs is not imported where another takes its place: mmpretrain for
    its ConvNeXt.

    Raises:
        FileNotFoundError: Where there is no such config.
        ImportError: Where it inherits from a package that is not installed.
        ValueError: Where it is no config.
        RuntimeError: Where its code fails.
    """
    asked = plan.options
    if isinstance(asked.config, Config):
        return plan.changed(copy.deepcopy(asked.config))
    return plan.changed(read_config(asked.config, import_custom_modules=not asked.backbone))
