"""Add the hooks of every run, which keep checkpoints whole and apart from other runs."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.shared_parts import GUARDS, checkpoint_hook, custom_hooks
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.weights import initial_weights
from convnext_dense.config_tree import custom_modules, type_name


def add_hooks(plan: Plan) -> Plan:
    """Add the hooks of every run, and averaged weights for ``ema``."""
    cfg = plan.copy_config()
    notes = _average(cfg) if plan.options.ema else []
    arguments = {"RunIdentityHook": dict(weights=initial_weights(cfg))}
    guards = [dict(type=name, **arguments.get(name, {})) for name in GUARDS]
    # The config that an earlier run saved has the hooks of that run.
    cfg.custom_hooks = [*guards, *custom_hooks(cfg, without=GUARDS)]
    _set_checkpoint_hook(cfg)
    _import_ours(cfg)
    if "train_dataloader" in cfg:
        # Workers that outlive an epoch keep their random state, and a resumed run would differ.
        cfg.train_dataloader.persistent_workers = False
    return plan.changed(cfg, *notes)


def _average(cfg: Config) -> list[str]:
    """Add a hook that averages the weights, unless the config has one: two would conflict."""
    hooks = custom_hooks(cfg)
    if any(type_name(hook) == "EMAHook" for hook in hooks):
        return ["`ema`: the config has an EMAHook, which stays as it is"]
    # Its momentum starts low, so that a short run does not average its random start.
    ema = dict(type="EMAHook", ema_type="mmdet.ExpMomentumEMA", priority="NORMAL")
    cfg.custom_hooks = [*hooks, ema]
    return []


def _set_checkpoint_hook(cfg: Config) -> None:
    """Write checkpoints completely or not at all, and delete old ones last."""
    hook = checkpoint_hook(cfg)
    if hook is not None:
        hook = dict(backend_args=dict(backend="atomic")) | hook
        if type_name(hook) == "CheckpointHook":
            hook["type"] = "DurableCheckpointHook"
        cfg.default_hooks = dict(cfg.get("default_hooks") or {}, checkpoint=hook)


def _import_ours(cfg: Config) -> None:
    """Import our package, so that mmdet's and mmseg's own tools find the hooks in saved configs."""
    modules = custom_modules(cfg)
    if "convnext_dense" not in modules:
        stated = dict(cfg.get("custom_imports") or {}, imports=[*modules, "convnext_dense"])
        cfg.custom_imports = dict(allow_failed_imports=False) | stated
