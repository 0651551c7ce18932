"""Stop a training that no longer gets better."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.shared_parts import checkpoint_hook, custom_hooks
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets, evaluators, type_name
from convnext_dense.text import many

HOOK = "StopWithoutBestHook"
_REPLACED = ("EarlyStoppingHook", HOOK)


def set_early_stop(plan: Plan) -> Plan:
    """Stop the training after ``early_stop`` validations in a row without a new best.

    The best is that of the checkpoint hook's ``save_best``. If the config saves no best, it is
    saved by mIoU, or what stands in its place, or by the first figure of the validation.

    Raises:
        ValueError: If the config validates nothing or saves nothing.
    """
    patience = plan.options.early_stop
    if patience is None:
        return plan
    cfg = plan.copy_config()
    if not (cfg.get("val_cfg") and datasets(cfg, "val") and cfg.get("val_evaluator")):
        raise ValueError("`early_stop` counts validations, but the config has none")
    notes = _save_best(cfg)
    kept = custom_hooks(cfg, without=_REPLACED)
    if len(kept) < len(custom_hooks(cfg)):
        notes.append("`early_stop` replaces the config's EarlyStoppingHook")
    cfg.custom_hooks = [*kept, dict(type=HOOK, patience=patience)]
    return plan.changed(
        cfg,
        f"`early_stop={patience}`: the training stops after {many(patience, 'validation')} in a "
        f"row without a new best {_monitored(cfg)}",
        *notes,
    )


def _save_best(cfg: Config) -> list[str]:
    """Let the checkpoint hook save the best, and return a note if it did not."""
    hook = checkpoint_hook(cfg)
    if hook is None:
        raise ValueError("`early_stop` keeps the best, but default_hooks.checkpoint is None")
    if hook.get("save_best"):
        return []
    # Its first figure is the accuracy of all pixels, which says little.
    of_maps = [node for _, node in evaluators(cfg, "val") if type_name(node) == "IoUMetric"]
    save_best = of_maps[0].get("iou_metrics", ["mIoU"])[0] if of_maps else "auto"
    hook = dict(hook, save_best=save_best, rule="greater")
    cfg.default_hooks = dict(cfg.get("default_hooks") or {}, checkpoint=hook)
    return [
        "`early_stop`: the config saves no best checkpoint; this run does, the higher the better"
    ]


def _monitored(cfg: Config) -> str:
    best = cfg.default_hooks.checkpoint.save_best
    best = best if isinstance(best, str) else best[0]
    return "first figure" if best == "auto" else best
