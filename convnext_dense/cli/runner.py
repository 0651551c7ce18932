"""Build mmengine's runner with the guards that every run here has."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict, ZeroRedundancyOptimizer
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from convnext_dense.cli.backbone import initial_weights, set_initial_weights
from convnext_dense.cli.errors import describe
from convnext_dense.cli.options import note
from convnext_dense.config.loading import check_what_is_loaded
from convnext_dense.config_tree import type_name
from convnext_dense.data.batches import check_batch_size
from convnext_dense.data.check import check_data
from convnext_dense.files import replacing
from convnext_dense.patches import enable
from convnext_dense.ranks import decided_by_rank_0
from convnext_dense.training import GUARDS
from convnext_dense.training.batch_of_one import check_batch_of_one
from convnext_dense.training.processes import stop_watching, watch_ranks
from convnext_dense.training.run_files import end_with_log, write_whole_files


class ToolRunner(Runner):
    """mmengine's runner, which writes no config, needs its log, and scales by whole steps.

    The config of a training is :class:`KeepConfigHook`'s. That of a test has its own metrics and,
    with ``--tta``, another model: in the place of the training's it would not predict, train or
    test again. Either stays in the run's ``vis_data``.
    """

    def dump_config(self) -> None:
        """Write nothing."""

    def build_logger(self, *args: object, **kwargs: object) -> MMLogger:
        """Build the logger, whose file the run does not go on without."""
        logger = super().build_logger(*args, **kwargs)
        end_with_log(logger)
        return logger

    def save_checkpoint(self, *args: object, **kwargs: object) -> None:
        """Save on rank 0; where that fails, every process stops.

        A ``ZeroRedundancyOptimizer`` collects its state from every process when it is asked for it,
        and mmengine asks on rank 0 alone.
        """
        sharded = any(isinstance(one, ZeroRedundancyOptimizer) for one in _optimizers(self))
        if sharded and kwargs.get("save_optimizer", True) and not is_main_process():
            self.optim_wrapper.state_dict()
        decided_by_rank_0(lambda: super(ToolRunner, self).save_checkpoint(*args, **kwargs))

    def build_dataloader(self, dataloader: DataLoader | dict, **kwargs: object) -> DataLoader:
        """Build a loader; refuse batches that a training could not be made of."""
        loader = super().build_dataloader(dataloader, **kwargs)
        if dataloader is self._train_dataloader:
            check_batch_size("train_dataloader", loader, self.world_size)
            check_batch_of_one(self.cfg, self.model, loader)
        return loader

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale by the images of an optimizer step, where mmengine counts an iteration's."""
        if auto_scale_lr and auto_scale_lr.get("enable"):
            counts = getattr(optim_wrapper, "_accumulative_counts", 1)
            base = auto_scale_lr["base_batch_size"] / counts
            auto_scale_lr = {**auto_scale_lr, "base_batch_size": base}
        super().scale_lr(optim_wrapper, auto_scale_lr)


def _optimizers(runner: Runner) -> list[Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [one.optimizer for one in wrappers]


class KeepConfigHook(Hook):
    """Write the config of a run into its work directory once it is sure to begin.

    mmengine does so before it reads the checkpoint to resume, over the config of the run that the
    checkpoint is refused for; and with that checkpoint in it, which the config would resume
    whenever it is trained again.

    Args:
        cfg: The config as it was asked for.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Write it under its own name."""
        with replacing(Path(runner.work_dir) / Path(self.cfg.filename).name) as part:
            self.cfg.dump(part)


def build_runner(cfg: Config, resume: str | None = None) -> Runner:
    """Build the runner of a config, with whole-or-nothing checkpoints and strict loading.

    Args:
        cfg: Changed in place, for any run of it: custom hooks, checkpoint hook, training loader.
        resume: The checkpoint to go on from; None leaves it to the config.
    """
    cfg = config_of_run(cfg, resume)
    enable()
    try:
        runner = ToolRunner.from_cfg(cfg) if "runner_type" not in cfg else RUNNERS.build(cfg)
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise RuntimeError(f"{cfg.filename}: the run cannot be built: {describe(error)}") from error
    watch_ranks()
    return runner


def config_of_run(cfg: Config, resume: str | None = None) -> Config:
    """Return the config that a runner is built from, which its checkpoints hold.

    Args:
        cfg: As for :func:`build_runner`.
        resume: As for :func:`build_runner`.
    """
    arguments = {"RunIdentityHook": dict(weights=initial_weights(cfg))}
    guards = [dict(type=name, **arguments.get(name, {})) for name in GUARDS]
    # The config that an earlier run left has that run's.
    hooks = [hook for hook in cfg.get("custom_hooks") or () if type_name(hook) not in GUARDS]
    cfg.custom_hooks = [*guards, *hooks]
    _set_checkpoint_hook(cfg)
    _import_ours(cfg)
    if "train_dataloader" in cfg:
        # Workers that outlive an epoch keep their random state, and a resumed run would differ.
        cfg.train_dataloader.persistent_workers = False
    cfg = copy.deepcopy(cfg)
    write_whole_files(cfg)
    if resume is not None:
        cfg.resume, cfg.load_from = True, resume
    if cfg.get("resume"):
        # The checkpoint holds the backbone; its first weights need not even be reachable.
        set_initial_weights(cfg, None)
    check_what_is_loaded(cfg)
    return cfg


def _set_checkpoint_hook(cfg: Config) -> None:
    """Have checkpoints written whole or not at all, and old ones deleted last."""
    hooks = cfg.get("default_hooks") or {}
    # mmengine's default, where the config says nothing; None means that nothing is saved.
    hook = hooks.get("checkpoint", dict(type="CheckpointHook", interval=1))
    if hook is not None:
        hook = dict(backend_args=dict(backend="atomic")) | hook
        if type_name(hook) == "CheckpointHook":
            hook["type"] = "DurableCheckpointHook"
        cfg.default_hooks = dict(hooks, checkpoint=hook)


def check_before_run(cfg: Config, splits: Sequence[str]) -> None:
    """Check the data that a run will use, in one process for all, and say what is worth a look.

    Raises:
        FileNotFoundError: Where a folder or file is missing.
        ValueError: Where annotations cannot be read, break a rule or do not fit the config.
    """
    try:
        warnings = decided_by_rank_0(lambda: check_data(cfg, splits))
    except Exception:
        leave_processes()  # all of them fail
        raise
    for warning in warnings:
        note(f"{warning.where}: {warning.sentence}")


def _import_ours(cfg: Config) -> None:
    """Have mmdet's and mmseg's own tools find the hooks in the config that a run leaves."""
    stated = cfg.get("custom_imports") or {}
    modules = stated.get("imports") or []
    modules = [modules] if isinstance(modules, str) else list(modules)
    if "convnext_dense" not in modules:
        modules.append("convnext_dense")
        cfg.custom_imports = dict(allow_failed_imports=False) | dict(stated, imports=modules)


def leave_processes() -> None:
    """Take leave of the run's other processes, where there are any.

    mmengine never does. At the end of Python NCCL then warns of a leak, and a thread of gloo that
    is still letting go of its last work can abort the process (pytorch/pytorch#190489). The runner
    should be gone: gloo waits for that thread, which may need what a DDP model holds.
    """
    stop_watching()
    if dist.is_initialized():
        dist.destroy_process_group()
