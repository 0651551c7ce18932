"""Let a test use the published scales and flips."""

from __future__ import annotations

from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets, type_name


def set_tta(plan: Plan) -> Plan:
    """Use the scales and flips of the config's ``tta_pipeline`` for ``tta``.

    The scales in mmseg's pipelines are ratios of each picture's size, but the published ones are
    ratios of the test size (2048 x 512 times 0.5 to 1.75). So they are changed to the latter.

    Raises:
        ValueError: If the config has no ``tta_model`` and ``tta_pipeline``.
    """
    if not plan.options.tta:
        return plan
    cfg = plan.copy_config()
    if not (cfg.get("tta_model") and cfg.get("tta_pipeline")):
        raise ValueError(
            "`tta` needs tta_model and tta_pipeline in the config; the UperNet recipes have them, "
            "the detectors are published without"
        )
    tested = [dataset for _, dataset in datasets(cfg, "test")]
    test_scale = next(step.scale for step in tested[0].pipeline if type_name(step) == "Resize")
    for step in cfg.tta_pipeline:
        for choices in step.get("transforms", ()):
            for choice in choices:
                if type_name(choice) == "Resize" and "scale_factor" in choice:
                    ratio = choice.pop("scale_factor")
                    choice.scale = tuple(int(side * ratio) for side in test_scale)
    for dataset in tested:
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    return plan.changed(cfg)
