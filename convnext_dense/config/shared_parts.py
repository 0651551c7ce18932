"""Parts of a config that several steps, or the runner, use."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import backbone_owner, type_name

# Hooks of convnext_dense.training that make a run durable. Every run of the tools has them.
GUARDS = (
    "RunIdentityHook",
    "StrictLoadHook",
    "TrainingStateHook",
    "ReproducibleStreamHook",
    "OwnBestHook",
    "DueValidationHook",
    "FiniteValuesHook",
)


def default_visualizer() -> ConfigDict:
    """Return the visualizer that mmengine uses if a config has none."""
    return ConfigDict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])


def set_initial_weights(cfg: Config, init_cfg: Mapping | None) -> None:
    """Set the initial weights of the backbone, if the model has one.

    Args:
        cfg: Changed in place.
        init_cfg: As for :class:`~convnext_dense.ConvNeXt`; None for random weights.
    """
    if (owner := backbone_owner(cfg.model)) is not None:
        backbone = owner[1]["backbone"]
        for part in (owner[1], backbone):
            part.pop("pretrained", None)
        backbone.init_cfg = init_cfg


def checkpoint_hook(cfg: Config) -> dict | None:
    """Return the hook that saves checkpoints, mmengine's own if a config has none.

    None means that nothing is saved.
    """
    hooks = cfg.get("default_hooks") or {}
    return hooks.get("checkpoint", dict(type="CheckpointHook", interval=1))


def custom_hooks(cfg: Config, without: Collection[str] = ()) -> list[ConfigDict]:
    """Return the custom hooks of a config, but those of some types."""
    return [hook for hook in cfg.get("custom_hooks") or () if type_name(hook) not in without]
