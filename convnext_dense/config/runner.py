"""The config that mmengine's runner is built from, beside the one that the run leaves to others.

It names what only this process needs: loaders that check what they read, files that are written
whole, and the checkpoint to go on from.
"""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.checked_loading import use_checked_loading
from convnext_dense.config.shared_parts import default_visualizer, set_initial_weights
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import type_name

# Of convnext_dense.training.
WHOLE_FILES = "WholeLocalVisBackend"


def config_of_runner(plan: Plan) -> Config:
    """Return the config that the runner of a plan is built from, which its checkpoints hold.

    Raises:
        ValueError: Where the pipelines do not keep the model's channels.
    """
    cfg = plan.copy_config()
    cfg.visualizer = cfg.get("visualizer") or default_visualizer()
    for backend in cfg.visualizer.get("vis_backends") or ():
        if type_name(backend) == "LocalVisBackend":
            backend["type"] = WHOLE_FILES
    if plan.checkpoint is not None:
        cfg.resume, cfg.load_from = True, plan.checkpoint
    if cfg.get("resume"):
        # The checkpoint holds the backbone; its first weights need not even be reachable.
        set_initial_weights(cfg, None)
    use_checked_loading(cfg)
    return cfg
