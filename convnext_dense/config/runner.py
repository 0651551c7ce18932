"""Make the config that mmengine's runner is built from.

Unlike the config that a run saves, it has settings that only this process needs: loaders that check
what they read, files that are written completely, and the checkpoint to resume from.
"""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.checked_loading import use_checked_loading
from convnext_dense.config.shared_parts import default_visualizer, set_initial_weights
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import type_name

# The backend of convnext_dense.training that writes files completely or not at all.
WHOLE_FILES = "WholeLocalVisBackend"


def config_of_runner(plan: Plan) -> Config:
    """Return the config of a plan's runner, which its checkpoints contain too.

    Raises:
        ValueError: If the pipelines do not keep the model's channels.
    """
    cfg = plan.copy_config()
    cfg.visualizer = cfg.get("visualizer") or default_visualizer()
    for backend in cfg.visualizer.get("vis_backends") or ():
        if type_name(backend) == "LocalVisBackend":
            backend["type"] = WHOLE_FILES
    if plan.checkpoint is not None:
        cfg.resume, cfg.load_from = True, plan.checkpoint
    if cfg.get("resume"):
        # The checkpoint contains the backbone, so its initial weights are not needed.
        set_initial_weights(cfg, None)
    use_checked_loading(cfg)
    return cfg
