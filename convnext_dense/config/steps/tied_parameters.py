"""Let an optimizer take each parameter once, where a model has it under two names."""

from __future__ import annotations

from mmengine.config import ConfigDict

from convnext_dense.config.state import Plan
from convnext_dense.config_tree import NUM_CLASSES, type_name

# mmengine's own.
_CONSTRUCTOR = "DefaultOptimWrapperConstructor"


def count_tied_once(plan: Plan) -> Plan:
    """Set ``bypass_duplicate`` for a head of transformers, whose decoder layers share parameters.

    With any ``paramwise_cfg``, mmengine's constructor otherwise gives the optimizer each of their
    names, which it refuses.
    """
    cfg = plan.copy_config()
    wrapper = cfg.get("optim_wrapper") or ConfigDict()
    is_default = wrapper.get("constructor", _CONSTRUCTOR) == _CONSTRUCTOR
    if type_name(cfg.model) not in NUM_CLASSES or not (is_default and wrapper.get("paramwise_cfg")):
        return plan
    wrapper.paramwise_cfg.setdefault("bypass_duplicate", True)
    return plan.changed(cfg)
