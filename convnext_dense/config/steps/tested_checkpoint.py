"""Set the checkpoint that is tested."""

from __future__ import annotations

from pathlib import Path

from convnext_dense.config.options import PUBLISHED
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets
from convnext_dense.zoo import published_model


def set_tested_checkpoint(plan: Plan) -> Plan:
    """Set the checkpoint that the test loads.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is ``published`` but the config is not a published recipe, or if the
            config has no test data.
    """
    cfg = plan.copy_config()
    name = cfg.filename or "the config"
    checkpoint = plan.options.checkpoint
    if checkpoint is None:
        raise ValueError("`checkpoint` is missing: a test needs a trained model")
    if checkpoint == PUBLISHED:
        checkpoint = published_model(name)
    if not (datasets(cfg, "test") and cfg.get("test_evaluator")):
        raise ValueError(f"{name} has nothing to test: set its test_dataloader and test_evaluator")
    if "://" not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(f"there is no checkpoint {checkpoint!r}")
    cfg.load_from = checkpoint
    cfg.resume = False
    return plan.changed(cfg)
