"""Train the model of a config: plan the run, join its processes, and go."""

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
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import TRAIN, Plan, follow, plan_run
from convnext_dense.files import replacing
from convnext_dense.ranks import rank
from convnext_dense.training.interrupt import how_to_resume, sigterm_as_interrupt
from convnext_dense.training.processes import end_with_launcher, join_processes, leave_processes
from convnext_dense.training.runner import build_runner
from convnext_dense.training.work_dir_lock import lock_work_dir


def train(
    options: RunOptions,
    tell: Callable[[str], None] | None = None,
    resuming_command: str = "train(RunOptions(..., resume='auto'))",
) -> None:
    """Train the model of a config.

    Args:
        options: What is asked for. Checkpoints, logs and the config go to its work directory.
        tell: Called with what the user should know, such as what is not done as the config says.
        resuming_command: What goes on with the run, for the message of an interrupt.

    Raises:
        FileNotFoundError: Where data, weights or the checkpoint to resume are missing.
        KeyboardInterrupt: On Ctrl-C, SIGTERM, SIGHUP or SIGUSR1, with the command that goes on.
        RuntimeError: Where a device is not there, or training cannot go on from a checkpoint.
        ValueError: Where an option, a key, a value or the data makes no sense.
        WorkDirInUseError: Where another run trains in the work directory.
        WriteError: Where the work directory takes no files.

    Example::

        train(RunOptions("configs/det/mask_rcnn_convnext_t_coco.py", data_root="/sets/coco"), print)
    """
    if options.launcher == "pytorch":
        end_with_launcher()
    plan = plan_run(options, TRAIN, tell)
    if options.deterministic:
        be_deterministic()
    # One process writes there.
    lock = lock_work_dir(plan.config.work_dir) if rank() == 0 else contextlib.nullcontext()
    try:
        with sigterm_as_interrupt(), lock:
            runner = start(plan, tell)
            runner.train()
    except KeyboardInterrupt as interrupt:
        if rank() > 0:
            raise
        cfg = plan.config
        message = how_to_resume(cfg.work_dir, resuming_command, checkpoint_folder(cfg))
        raise KeyboardInterrupt(message) from interrupt


def start(plan: Plan, tell: Callable[[str], None] | None = None) -> Runner:
    """Join the processes of a planned training, and build its runner.

    Raises:
        Exception: As :func:`train` does, in all processes.
    """
    join_processes(plan.config)
    try:
        plan = follow(plan, TRAIN.joined, tell)
    except Exception:
        leave_processes()  # all of them fail
        raise
    runner = build_runner(plan)
    runner.register_hook(KeepConfigHook(plan.config))
    return runner


def be_deterministic() -> None:
    """Choose deterministic kernels in this process, where an operator has one.

    mmengine's own switch refuses every operator without a deterministic form, such as the gradient
    of bilinear resizing on CUDA, which UperNet cannot do without.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


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
