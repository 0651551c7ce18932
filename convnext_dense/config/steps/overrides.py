"""Set single keys of the config, and check the resulting values."""

from __future__ import annotations

import copy

from convnext_dense.config.checks.keys import UnknownKeyError, check_keys
from convnext_dense.config.checks.values import check_sections, check_values
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import value_at


def set_overrides(plan: Plan) -> Plan:
    """Apply ``cfg_options``, after data and backbone were changed, and check the config.

    Raises:
        ValueError: If a key is not known or cannot be set, or a value makes no sense.
    """
    cfg = plan.copy_config()
    options = dict(plan.options.cfg_options)
    try:
        check_keys(cfg, options, plan.options.force_keys)
    except ValueError as error:
        remedy = ""
        if isinstance(error, UnknownKeyError):
            remedy = f". `force_keys={error.key!r}` sets it anyway"
        raise ValueError(f"`cfg_options`: {error}{remedy}") from error
    replaced = {key: copy.deepcopy(value_at(cfg._cfg_dict, key)) for key in options}
    cfg.merge_from_dict(options)
    if "model" in cfg:
        check_sections(cfg, ["model"])
    # Options are checked even if this run does not use them.
    asked = {key.partition("_dataloader.")[0] for key in options}
    check_values(cfg, {*plan.splits, *asked})
    return plan.changed(cfg, replaced=replaced)
