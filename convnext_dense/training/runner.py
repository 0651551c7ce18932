"""Build mmengine's runner with the checks that every run of this package has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, ZeroRedundancyOptimizer
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import Task, plan_run, take_steps
from convnext_dense.config.runner import config_of_runner
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import SPLITS
from convnext_dense.data.batches import check_batch_size
from convnext_dense.patches import enable
from convnext_dense.ranks import decided_by_rank_0, rank
from convnext_dense.text import one_line
from convnext_dense.training.batch_of_one import check_batch_of_one
from convnext_dense.training.observer import RunObserver, observed_by, send_to_observer
from convnext_dense.training.opening import describe_plan, describe_run
from convnext_dense.training.processes import (
    end_with_launcher,
    join_processes,
    leave_processes,
    watch_ranks,
)
from convnext_dense.training.progress import ProgressHook
from convnext_dense.training.queries import check_queries
from convnext_dense.training.run_files import end_with_log, write_whole_files
from convnext_dense.training.runner_facts import optimizers_of


class ToolRunner(Runner):
    """mmengine's runner, but it writes no config, ends without its log, and checks its batches.

    :class:`~convnext_dense.training.run.KeepConfigHook` writes the config of a training. The config
    of a test has other metrics and, with test-time augmentation, another model. If it replaced the
    training's config in the work directory, nobody could train, test or predict with that file any
    more. Both configs are also kept in the run's ``vis_data``.
    """

    def dump_config(self) -> None:
        """Write nothing."""

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, with what it freezes frozen.

        Some backbones freeze in training mode alone. Processes must know it before they share the
        gradients, and the optimizer before it takes the parameters.
        """
        built = super().build_model(model)
        built.train()
        return built

    def build_logger(self, *args: object, **kwargs: object) -> MMLogger:
        """Build the logger; the run ends if its file cannot be written."""
        logger = super().build_logger(*args, **kwargs)
        send_to_observer(logger)
        end_with_log(logger)
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build the visualizer under the name of this run.

        mmengine keeps visualizers by their names for the whole process, and most configs call
        theirs ``visualizer``: a second run would write its scalars into the first one's folder.
        """
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, "name": self.experiment_name}
        return super().build_visualizer(visualizer)

    def save_checkpoint(self, *args: object, **kwargs: object) -> None:
        """Save on rank 0; if that fails, every process stops.

        A ``ZeroRedundancyOptimizer`` collects its state from all processes, so all of them must
        call ``state_dict``; mmengine calls it only on rank 0.
        """
        sharded = any(
            isinstance(o, ZeroRedundancyOptimizer) for o in optimizers_of(self.optim_wrapper)
        )
        if sharded and kwargs.get("save_optimizer", True) and not is_main_process():
            self.optim_wrapper.state_dict()
        decided_by_rank_0(lambda: super(ToolRunner, self).save_checkpoint(*args, **kwargs))

    def build_dataloader(self, dataloader: DataLoader | dict, **kwargs: object) -> DataLoader:
        """Build a loader, and refuse batches that the model cannot be trained on."""
        loader = super().build_dataloader(dataloader, **kwargs)
        if dataloader is self._train_dataloader:
            check_batch_size("train_dataloader", loader, self.world_size)
            check_batch_of_one(self.cfg, self.model, loader)
        for split in SPLITS:
            if dataloader is getattr(self, f"_{split}_dataloader"):
                check_queries(self.cfg, split, loader)
        return loader

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate by the images per optimizer step, not per iteration."""
        if auto_scale_lr and auto_scale_lr.get("enable"):
            counts = getattr(optim_wrapper, "_accumulative_counts", 1)
            base = auto_scale_lr["base_batch_size"] / counts
            auto_scale_lr = {**auto_scale_lr, "base_batch_size": base}
        super().scale_lr(optim_wrapper, auto_scale_lr)


def begin_run(
    options: RunOptions,
    task: Task,
    tell: Callable[[str], None] | None,
    observer: RunObserver | None,
) -> Plan:
    """Plan a run, and report the plan; the process ends with its launcher from here on.

    Arguments and errors as for :func:`~convnext_dense.config.plan.plan_run`; the observer receives
    the facts of the plan on rank 0.
    """
    if options.launcher == "pytorch":
        end_with_launcher()
    plan = plan_run(options, task, tell)
    if observer and rank() == 0:
        observer.facts(describe_plan(plan))
    return plan


def join_run(plan: Plan, task: Task, tell: Callable[[str], None] | None) -> Plan:
    """Join the processes of a planned run, and take the steps that one of them decides for all.

    Raises:
        Exception: What a step raised, in all processes.
    """
    join_processes(plan.config)
    try:
        return take_steps(plan, task.joined, tell)
    except Exception:
        leave_processes()  # all processes fail together
        raise


def build_runner(plan: Plan, observer: RunObserver | None) -> Runner:
    """Build the runner of a plan, with checkpoints written whole or not at all and strict loading.

    An observer receives what the run reports, in place of mmengine's log on the screen.

    Raises:
        RuntimeError: If mmengine cannot build a runner from the config.
    """
    cfg = config_of_runner(plan)
    write_whole_files()
    enable()
    try:
        with observed_by(observer):
            runner = ToolRunner.from_cfg(cfg) if "runner_type" not in cfg else RUNNERS.build(cfg)
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise RuntimeError(f"{cfg.filename}: the run cannot be built: {one_line(error)}") from error
    if observer and rank() == 0:
        runner.register_hook(ProgressHook(observer, partial(describe_run, plan=plan)))
    watch_ranks()
    return runner
