"""Set the checkpoint that is tested."""

from __future__ import annotations

from convnext_dense.config.state import Plan
from convnext_dense.config.steps.exported import tests_exported
from convnext_dense.config_tree import datasets
from convnext_dense.zoo.models import locate_model


def set_tested_checkpoint(plan: Plan) -> Plan:
    """Set the checkpoint that the test loads.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is the name of a model that the recipe does not have, or if the
            config has no test data.
    """
    cfg = plan.copy_config()
    name = cfg.filename or "the config"
    checkpoint = plan.options.checkpoint
    if checkpoint is None:
        raise ValueError("`checkpoint` is missing: a test needs a trained model")
    if not (datasets(cfg, "test") and cfg.get("test_evaluator")):
        raise ValueError(f"{name} has nothing to test: set its test_dataloader and test_evaluator")
    if tests_exported(plan.options):  # see use_exported_model
        return plan
    cfg.load_from = locate_model(checkpoint, name)
    cfg.resume = False
    return plan.changed(cfg)
