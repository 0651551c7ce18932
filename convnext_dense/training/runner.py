"""mmengine's runner with the guards that every run here has."""

from __future__ import annotations

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict, ZeroRedundancyOptimizer
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from convnext_dense.config.runner import config_of_runner
from convnext_dense.config.state import Plan
from convnext_dense.data.batches import check_batch_size
from convnext_dense.patches import enable
from convnext_dense.ranks import decided_by_rank_0
from convnext_dense.text import one_line
from convnext_dense.training.batch_of_one import check_batch_of_one
from convnext_dense.training.processes import watch_ranks
from convnext_dense.training.run_files import end_with_log, write_whole_files


class ToolRunner(Runner):
    """mmengine's runner, which writes no config, needs its log, and scales by whole steps.

    The config of a training is :class:`~convnext_dense.training.run.KeepConfigHook`'s. That of a
    test has its own metrics and maybe, for scales and flips, another model: in the place of the
    training's it would not predict, train or test again. Either stays in the run's ``vis_data``.
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


def build_runner(plan: Plan) -> Runner:
    """Build the runner of a plan, with whole-or-nothing checkpoints and strict loading.

    Raises:
        RuntimeError: Where the config is not one of a run.
    """
    cfg = config_of_runner(plan)
    write_whole_files()
    enable()
    try:
        runner = ToolRunner.from_cfg(cfg) if "runner_type" not in cfg else RUNNERS.build(cfg)
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise RuntimeError(f"{cfg.filename}: the run cannot be built: {one_line(error)}") from error
    watch_ranks()
    return runner
