"""What tools/train.py does with a config and its arguments."""

from __future__ import annotations

import argparse
import contextlib
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config

from convnext_dense.checkpoints.latest import checkpoint_folder
from convnext_dense.checkpoints.source import is_remote
from convnext_dense.cli.backbone import backbone_arguments, find_backbone, set_initial_weights
from convnext_dense.cli.device import fit_to_device, set_precision
from convnext_dense.cli.options import note, rank, world_size
from convnext_dense.cli.resume import choose_checkpoint, resuming_command
from convnext_dense.cli.resumed_settings import settle
from convnext_dense.cli.runner import KeepConfigHook, build_runner, check_before_run
from convnext_dense.config.checks.values import check_sections
from convnext_dense.config_tree import type_name
from convnext_dense.training import how_to_resume, sigterm_as_interrupt
from convnext_dense.training.one_run import one_run
from convnext_dense.training.processes import end_with_launcher
from convnext_dense.zoo import WEIGHTS, published_model


def train(cfg: Config, args: argparse.Namespace) -> None:
    """Train the model of a config as the arguments say.

    Raises:
        FileNotFoundError: Where data, weights or the checkpoint to resume are missing.
        KeyboardInterrupt: On Ctrl-C, SIGTERM, SIGHUP or SIGUSR1, with the command that goes on.
        WorkDirInUseError: Where another run trains in the work directory.
        WriteError: Where the work directory takes no files.
    """
    if args.launcher == "pytorch":
        end_with_launcher()
    # One process writes there.
    alone = one_run(cfg.work_dir) if rank() == 0 else contextlib.nullcontext()
    try:
        with sigterm_as_interrupt(), alone:
            checkpoint = prepare(cfg, args)
            runner = build_runner(cfg, resume=checkpoint)
            runner.register_hook(KeepConfigHook(cfg))
            runner.train()
    except KeyboardInterrupt as interrupt:
        if rank() > 0:
            raise
        message = how_to_resume(cfg.work_dir, resuming_command(args), checkpoint_folder(cfg))
        raise KeyboardInterrupt(message) from interrupt


def prepare(cfg: Config, args: argparse.Namespace) -> str | None:
    """Apply the arguments of a training to its config, and check what it needs.

    Returns:
        The checkpoint to go on from, or None.

    Raises:
        FileNotFoundError: Where data, weights or the checkpoint to resume are missing.
    """
    check_sections(cfg, ("train_dataloader", "train_cfg", "optim_wrapper"))
    fit_to_device(cfg, args.cfg_options)
    require_processes(cfg)
    set_precision(cfg, args.amp)
    checkpoint = set_start(cfg, args.resume, args.weights)
    set_batch(cfg, args.accumulate, args.auto_scale_lr)
    set_randomness(cfg, args.seed, args.deterministic)
    if args.ema:
        add_ema(cfg)
    if args.tensorboard:
        log_to_tensorboard(cfg)
    if checkpoint and "://" not in checkpoint:
        settle(cfg, checkpoint)
    check_before_run(cfg, splits=("train", "val"))
    return checkpoint


def require_processes(cfg: Config) -> None:
    """Refuse an optimizer that shares its state among processes where there is one process.

    Raises:
        ValueError: Naming the key.
    """
    optimizer = cfg.optim_wrapper.get("optimizer") or {}
    if cfg.launcher == "none" and type_name(optimizer) == "ZeroRedundancyOptimizer":
        raise ValueError(
            "optim_wrapper.optimizer: ZeroRedundancyOptimizer shares its state among processes, "
            f"and this run has one. Set its type to {optimizer.get('optimizer_type')}, or start "
            "several processes by tools/dist_train.sh"
        )


def set_start(cfg: Config, resume: str | None, weights: str | None) -> str | None:
    """Choose what the run starts from: a checkpoint, the backbone's weights, or nothing.

    Args:
        cfg: Changed in place.
        resume: ``--resume``: a checkpoint, ``auto`` for the last one of the work directory, None.
        weights: ``--weights``: a file, URL or hub id, a name of
            :data:`convnext_dense.zoo.WEIGHTS`, ``none``, or None for the config's.

    Returns:
        The checkpoint to resume, or None.

    Raises:
        FileNotFoundError: Where there is no such file.
        RuntimeError: Where there are checkpoints, and none that training can go on from.
        ValueError: Where the model has no backbone to take the weights, there are none of that name
            for its arch, or no published model of the config.
    """
    if weights is not None:
        backbone = find_backbone(cfg)
        if backbone is None:
            raise ValueError(f"--weights: the model {cfg.model.get('type')} has no key backbone")
        if weights == "none":
            note("--weights none: the backbone starts from random values")
        elif weights in WEIGHTS and type_name(backbone) != "ConvNeXt":
            raise ValueError(
                f"--weights: the backbone {backbone.get('type')} is no ConvNeXt, give a file or URL"
            )
        elif weights not in WEIGHTS and not is_remote(weights) and not Path(weights).exists():
            raise FileNotFoundError(f"--weights {weights}: there is no such file")
        arguments = backbone_arguments(cfg, backbone.get("arch", "tiny"), weights)
        set_initial_weights(cfg, arguments.get("init_cfg"))
    if cfg.get("load_from") == "published":
        cfg.load_from = published_model(cfg.filename)
    checkpoint = choose_checkpoint(cfg, resume)
    if checkpoint is None and cfg.get("resume"):
        cfg.resume = False  # mmengine would look where last_checkpoint points to
    return checkpoint


def add_ema(cfg: Config) -> None:
    """Apply ``--ema``, unless the config averages already: two hooks would undo each other."""
    hooks = cfg.get("custom_hooks") or []
    if any(type_name(hook) == "EMAHook" for hook in hooks):
        note("--ema: the config has an EMAHook, which stays as it is")
        return
    # Its momentum warms up, so that a short run does not average its random start.
    ema = dict(type="EMAHook", ema_type="mmdet.ExpMomentumEMA", priority="NORMAL")
    cfg.custom_hooks = [*hooks, ema]


def set_batch(cfg: Config, accumulate: int | None, auto_scale_lr: bool) -> None:
    """Apply ``--accumulate`` and ``--auto-scale-lr`` and state the batch that results.

    Args:
        cfg: Changed in place.
        accumulate: Batches per optimizer step; None takes the config's.
        auto_scale_lr: Scale the learning rate with the images of a step.

    Raises:
        ValueError: Where the config does not say for which batch its learning rate is meant.
    """
    if accumulate is None:
        accumulate = cfg.optim_wrapper.get("accumulative_counts", 1)
    per_step = cfg.train_dataloader.batch_size * world_size(cfg.launcher) * accumulate
    scale = 1.0
    if auto_scale_lr:
        base = cfg.get("auto_scale_lr", {}).get("base_batch_size")
        if not base:
            raise ValueError(
                "--auto-scale-lr needs the config's auto_scale_lr.base_batch_size, the batch that "
                "its learning rate is meant for"
            )
        cfg.auto_scale_lr.enable = True
        scale = per_step / base
    if accumulate != cfg.optim_wrapper.get("accumulative_counts", 1):
        cfg.optim_wrapper.accumulative_counts = accumulate
    if accumulate > 1:
        note(
            f"--accumulate {accumulate}: {per_step} images per optimizer step at learning rate "
            f"{cfg.optim_wrapper.optimizer.lr * scale:g}; schedules still count iterations, and a "
            "resume is exact where checkpoints fall on whole steps"
        )


def set_randomness(cfg: Config, seed: int | None, deterministic: bool) -> None:
    """Apply ``--seed`` and ``--deterministic``.

    Raises:
        ValueError: Where numpy takes no such seed.
    """
    if seed is not None:
        if not 0 <= seed < 2**32:
            raise ValueError(f"--seed is from 0 to 2**32 - 1, got {seed}")
        cfg.randomness = dict(seed=seed)
    if deterministic:
        # mmengine's own switch refuses every operator without a deterministic form, such as the
        # gradient of bilinear resizing on CUDA, which UperNet cannot do without.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        cfg.setdefault("env_cfg", {})["cudnn_benchmark"] = False


def log_to_tensorboard(cfg: Config) -> None:
    """Add TensorBoard to where the run logs.

    Raises:
        ImportError: Where it is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ImportError("--tensorboard: pip install 'convnext-dense[tensorboard]'")
    if not cfg.get("visualizer"):  # what mmengine then takes
        cfg.visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
    backends = list(cfg.visualizer.get("vis_backends") or ())
    cfg.visualizer.vis_backends = [*backends, dict(type="TensorboardVisBackend")]
