"""Read the config."""

from __future__ import annotations

import copy

from mmengine.config import Config

from convnext_dense.config.read_config import read_config
from convnext_dense.config.state import Plan


def read_given_config(plan: Plan) -> Plan:
    """Read the config from its file, or copy the given config.

    If the backbone will be replaced, custom modules are not imported yet, since the old backbone
    may need packages that are not installed.

    Raises:
        Exception: As :func:`~convnext_dense.config.read_config.read_config`.
    """
    asked = plan.options
    if isinstance(asked.config, Config):
        return plan.changed(copy.deepcopy(asked.config))
    return plan.changed(read_config(asked.config, import_custom_modules=not asked.backbone))
