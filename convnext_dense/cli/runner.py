"""Build mmengine's runner with the guards that every run here has."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from convnext_dense.cli.backbone import find_backbone
from convnext_dense.upstream import install_for_mmdet


class TestRunner(Runner):
    """A runner for a test, which leaves the work directory's config as training wrote it.

    The test's own has its metrics and, with ``--tta``, another model: it would not predict, train
    or test again. It stays in the test's ``vis_data``.
    """

    def dump_config(self) -> None:
        """Write nothing."""


def build_runner(cfg: Config, kind: type[Runner] = Runner) -> Runner:
    """Build the runner of a config, with whole-or-nothing checkpoints and strict loading.

    Args:
        cfg: Changed in place: ``custom_hooks``, the checkpoint hook and the training loader.
        kind: The runner's class, where the config names none.
    """
    guards = [dict(type="RunIdentityHook", weights=initial_weights(cfg))]
    guards += [dict(type="StrictLoadHook"), dict(type="ReproducibleStreamHook")]
    cfg.custom_hooks = [*guards, *cfg.get("custom_hooks", [])]
    checkpoint_hook = cfg.get("default_hooks", {}).get("checkpoint")
    if checkpoint_hook is not None:
        checkpoint_hook.setdefault("backend_args", dict(backend="atomic"))
    if "train_dataloader" in cfg:
        # Workers that outlive an epoch keep their random state, and a resumed run would differ.
        cfg.train_dataloader.persistent_workers = False
    backbone = find_backbone(cfg)
    if cfg.get("resume") and backbone:
        # The checkpoint holds the backbone; its first weights need not even be reachable.
        backbone.init_cfg = None
    if cfg.get("default_scope") == "mmdet":
        install_for_mmdet()
    return kind.from_cfg(cfg) if "runner_type" not in cfg else RUNNERS.build(cfg)


def leave_processes() -> None:
    """Take leave of the run's other processes, where there are any.

    mmengine never does. At the end of Python NCCL then warns of a leak, and a thread of gloo that
    is still letting go of its last work can abort the process (pytorch/pytorch#190489). The runner
    should be gone: gloo waits for that thread, which may need what a DDP model holds.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def initial_weights(cfg: Config) -> str | None:
    """Name the file that the backbone's weights come from, or None for random values."""
    init_cfg = (find_backbone(cfg) or {}).get("init_cfg") or {}
    checkpoint = init_cfg.get("checkpoint")
    return Path(checkpoint).name if checkpoint else None
