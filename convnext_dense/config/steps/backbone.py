"""Replace the config's backbone by a ConvNeXt."""

from __future__ import annotations

from mmengine.utils import import_modules_from_strings

from convnext_dense.config.state import Plan
from convnext_dense.config.steps.weights import backbone_arguments
from convnext_dense.swap import plan_swap


def put_backbone(plan: Plan) -> Plan:
    """Swap the backbone if ``backbone`` is given.

    Raises:
        SwapRefusedError: If the config cannot have another backbone.
        ValueError: If an option makes no sense.
    """
    asked = plan.options
    if asked.backbone is None:
        return plan
    options = backbone_arguments(plan.config, asked.backbone, asked.weights, asked.backbone_options)
    swap = plan_swap(plan.config, asked.backbone, recipe=asked.recipe, mode=asked.mode, **options)
    notes = f"`backbone={asked.backbone!r}`: {swap.tier}; `plan_swap` says what changed"
    return plan.changed(swap.config, notes, *swap.warnings, swap=swap)


def import_modules(plan: Plan) -> Plan:
    """Import the custom modules of a swapped config; reading imported those of other configs.

    Raises:
        ImportError: If a module cannot be imported.
    """
    if plan.swap:
        import_modules_from_strings(**plan.config.custom_imports)
    return plan
