"""Set the batch of a training, and scale its learning rate."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.checks.values import check_sections
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import type_name
from convnext_dense.ranks import world_size


def set_batch(plan: Plan) -> Plan:
    """Apply ``accumulate`` and ``auto_scale_lr``, and report the resulting batch.

    Raises:
        ValueError: If the config does not state the batch of its learning rate, or its optimizer
            needs several processes.
    """
    asked = plan.options
    cfg = plan.copy_config()
    check_sections(cfg, ("train_dataloader", "train_cfg", "optim_wrapper"))
    _require_processes(cfg)
    accumulate = asked.accumulate
    if accumulate is None:
        accumulate = cfg.optim_wrapper.get("accumulative_counts", 1)
    per_step = cfg.train_dataloader.batch_size * world_size(cfg.launcher) * accumulate
    scale = 1.0
    if asked.auto_scale_lr:
        base = cfg.get("auto_scale_lr", {}).get("base_batch_size")
        if not base:
            raise ValueError(
                "`auto_scale_lr` needs the config's auto_scale_lr.base_batch_size, the batch that "
                "its learning rate is meant for"
            )
        cfg.auto_scale_lr.enable = True
        scale = per_step / base
    if accumulate != cfg.optim_wrapper.get("accumulative_counts", 1):
        cfg.optim_wrapper.accumulative_counts = accumulate
    notes = []
    if asked.lr is not None and scale != 1:
        notes.append(
            f"`auto_scale_lr`: {per_step} images per optimizer step make of `lr={asked.lr:g}` "
            f"{asked.lr * scale:g}, since it counts for {base} images"
        )
    if accumulate != 1:
        notes.append(
            f"`accumulate={accumulate}`: {per_step} images per optimizer step at learning rate "
            f"{cfg.optim_wrapper.optimizer.lr * scale:g}; schedules still count iterations, and a "
            "resume is exact where checkpoints fall on whole steps"
        )
    return plan.changed(cfg, *notes)


def _require_processes(cfg: Config) -> None:
    """Refuse an optimizer that shares its state among processes if there is only one process."""
    optimizer = cfg.optim_wrapper.get("optimizer") or {}
    if cfg.launcher == "none" and type_name(optimizer) == "ZeroRedundancyOptimizer":
        raise ValueError(
            "optim_wrapper.optimizer: ZeroRedundancyOptimizer shares its state among processes, "
            f"and this run has one. Set its type to {optimizer.get('optimizer_type')}, or start "
            "several processes by torchrun or tools/dist_train.sh"
        )
