"""Train the model of a config: plan the run, join its processes, build its runner, train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from convnext_dense.checkpoints.latest import checkpoint_folder
from convnext_dense.config.options import AUTO, RunOptions
from convnext_dense.config.plan import TRAIN
from convnext_dense.files import replacing
from convnext_dense.ranks import rank
from convnext_dense.training.fit_batch import fit_batch
from convnext_dense.training.interrupt import how_to_resume, sigterm_as_interrupt
from convnext_dense.training.observer import RunObserver
from convnext_dense.training.progress import outcome_of
from convnext_dense.training.runner import begin_run, build_runner, join_run
from convnext_dense.training.work_dir_lock import lock_work_dir


def train(
    options: RunOptions,
    tell: Callable[[str], None] | None = None,
    resuming_command: str = "train(RunOptions(..., resume='auto'))",
    observer: RunObserver | None = None,
) -> None:
    """Train the model of a config.

    Args:
        options: The options of the run. Checkpoints, logs and the config go to its work directory.
        tell: Called with messages for the user, such as where the run differs from its config.
        resuming_command: The command that resumes the run, for the message of an interrupt.
        observer: Receives on rank 0 what the run reports, in place of mmengine's log on the screen.

    Raises:
        FileNotFoundError: If data, weights or the checkpoint to resume are missing.
        KeyboardInterrupt: On Ctrl-C, SIGTERM, SIGHUP or SIGUSR1; the message has the command that
            resumes the run.
        RuntimeError: If a device is missing, or the checkpoint cannot be resumed.
        ValueError: If an option, a key, a value or the data is wrong.
        WorkDirInUseError: If another run is training in the work directory.
        WriteError: If files cannot be written to the work directory.

    Example::

        train(RunOptions("configs/det/mask_rcnn_convnext_t_coco.py", data_root="/sets/coco"), print)
    """
    plan = begin_run(options, TRAIN, tell, observer)
    if options.deterministic:
        be_deterministic()
    # Only rank 0 writes there.
    lock = lock_work_dir(plan.config.work_dir) if rank() == 0 else contextlib.nullcontext()
    try:
        with sigterm_as_interrupt(), lock:
            plan = join_run(plan, TRAIN, tell)
            if options.batch_size == AUTO:
                plan = fit_batch(plan, tell)
            runner = build_runner(plan, observer)
            runner.register_hook(KeepConfigHook(plan.config))
            runner.train()
        if observer and rank() == 0:
            observer.ended(outcome_of(runner, saved_config(plan.config, runner.work_dir)))
    except KeyboardInterrupt as interrupt:
        if rank() > 0:
            raise
        cfg = plan.config
        message = how_to_resume(cfg.work_dir, resuming_command, checkpoint_folder(cfg))
        raise KeyboardInterrupt(message) from interrupt


def be_deterministic() -> None:
    """Use deterministic kernels in this process, for every operator that has one.

    mmengine's own switch refuses every operator without a deterministic kernel, such as the
    gradient of bilinear resizing on CUDA, which UperNet needs.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


class KeepConfigHook(Hook):
    """Write the config of a run into its work directory when training begins.

    mmengine writes it earlier, before it reads the checkpoint to resume. If that checkpoint is then
    refused, the config of the earlier run is already overwritten. mmengine also writes the
    checkpoint's path into the config, which would then resume it every time it is trained.

    Args:
        cfg: The config, without what resuming changes.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Write the config under its own file name."""
        with replacing(saved_config(self.cfg, runner.work_dir)) as part:
            self.cfg.dump(part)


def saved_config(cfg: Config, work_dir: str) -> Path:
    """Return where the config of a run is saved."""
    # One from Python may have no file.
    return Path(work_dir, Path(cfg.filename or "config.py").name)
