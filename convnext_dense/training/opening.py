"""Describe a run before it starts: what it trains or tests, from which weights, on what."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Sized

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from convnext_dense.backbone import ARCHS, ConvNeXt
from convnext_dense.checkpoints.arch_names import closest_arch
from convnext_dense.checkpoints.origin import licence_of
from convnext_dense.checkpoints.target_model import unwrap_model
from convnext_dense.config.options import changed_options
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.weights import initial_checkpoint
from convnext_dense.config_tree import is_segmenter, type_name, walk
from convnext_dense.text import first_of, many
from convnext_dense.training.progress import log_file
from convnext_dense.training.runner_facts import counts_iterations, is_training, optimizers_of
from convnext_dense.zoo.weights import WEIGHTS

HEAD_WEIGHTS = "TransformersWeights"
# Options that other rows tell, or that change nothing in the config.
_TOLD_ELSEWHERE = ("checkpoint", "launcher", "work_dir", "resume", "out", "show_dir")


def describe_plan(plan: Plan) -> dict[str, str]:
    """Return the recipe, and the options that change it, by title."""
    options = plan.options
    name = options.config.filename if isinstance(options.config, Config) else options.config
    rows = {"recipe": str(name or "a config from Python")}
    changed = [
        f"`{name}={value!r}`"
        for name, value in changed_options(options).items()
        if name not in _TOLD_ELSEWHERE
    ]
    if changed:
        rows["changed"] = " ".join(changed)
    return rows


def describe_run(runner: Runner, plan: Plan) -> dict[str, str]:
    """Return the facts of a run that is about to start, by title.

    Args:
        runner: Its loops are built, and nothing has run.
        plan: The plan that it was built from.
    """
    trains = is_training(runner)
    model = unwrap_model(runner.model)
    rows = {"model": _model(model, plan.config), "weights": _weights(model, plan, trains)}
    loops = {split: getattr(runner, f"{split}_loop") for split in plan.splits}
    data = {split: loop.dataloader.dataset for split, loop in loops.items() if loop is not None}
    # The objects were counted in whole files.
    objects = {} if plan.options.limit else plan.objects
    for split, dataset in data.items():
        rows[split] = _size(dataset, objects.get(split))
    metas = [getattr(dataset, "metainfo", None) or {} for dataset in data.values()]
    classes = next((meta["classes"] for meta in metas if meta.get("classes")), ())
    if classes:
        rows["classes"] = f"{len(classes)}: {first_of(tuple(classes))}"
    if trains:
        rows["batch"] = _batch(runner)
        rows["length"] = _length(runner)
        rows["optimizer"] = _optimizer(runner)
    precision = _precision(runner) if trains else getattr(model, "precision", "float32")
    rows["device"] = f"{_device(runner)}, {precision}"
    rows["log"] = log_file(runner)
    return rows


def _model(model: nn.Module, cfg: Config) -> str:
    if title := getattr(model, "title", ""):  # of an exported model
        return title
    text = type(model).__name__
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, ConvNeXt):
        text += f", ConvNeXt {_arch(backbone)}"
    elif backbone is not None:
        text += f", {type(backbone).__name__}"
    text += f", {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters"
    counted = _flops(cfg)
    if counted:
        flops, (height, width) = counted
        text += f", {flops / 1e9:.1f} GFLOPs at {height}x{width}"
    return text


def _arch(backbone: ConvNeXt) -> str:
    name = closest_arch(backbone.arch)
    return name if ARCHS[name] == backbone.arch else f"of its own sizes (closest to {name})"


def _flops(cfg: Config) -> tuple[int, tuple[int, int]] | None:
    """Return the FLOPs of a config's model and the size of the image; None if they are unknown."""
    from convnext_dense.analysis.flops import count_complexity

    # Another model is built for it, without data. The run must draw the same random numbers.
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            counted = count_complexity(cfg, _short_side(cfg))
    except Exception:  # somebody else's model may raise anything
        return None
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    return counted.flops, counted.shape


def _short_side(cfg: Config) -> tuple[int, int] | None:
    """Return the image's size for the short side that a detector tests with; else None."""
    from convnext_dense.analysis.flops import DETECTION_SHAPE

    loader = cfg.get("test_dataloader") or cfg.get("val_dataloader")
    if not loader or is_segmenter(cfg.model):
        return None
    scales = [n.scale for _, n in walk(loader) if type_name(n) == "Resize" and "scale" in n]
    if not scales or isinstance(scales[0], int):
        return None
    height, width = DETECTION_SHAPE
    side = min(scales[0])
    return side, round(side * width / height / 32) * 32


def _weights(model: nn.Module, plan: Plan, trains: bool) -> str:
    cfg = plan.config
    source = plan.checkpoint or cfg.get("load_from") or plan.options.checkpoint
    if source:
        return f"{source}, {'resumed' if plan.checkpoint else 'a whole model'}"
    source = initial_checkpoint(cfg)
    if trains and (head := (cfg.model.get("init_cfg") or {})).get("type") == HEAD_WEIGHTS:
        return f"{source or 'random values'}; of the head: {head['checkpoint']}"
    if not source or not trains:
        return "random values"
    names = {one.source: name for name, files in WEIGHTS.items() for one in files.values()}
    known = f"{names[source]}: " if source in names else ""
    arch = getattr(getattr(model, "backbone", None), "arch", None)
    licence = licence_of(source, getattr(arch, "grn", False))
    return f"{known}{source}; licence: {licence}"


def _size(dataset: Sized, objects: int | None) -> str:
    images = many(len(dataset), "image")
    return images if objects is None else f"{images}, {many(objects, 'object')}"


def _batch(runner: Runner) -> str:
    per_process = runner.train_dataloader.batch_size
    sampler = getattr(runner.train_dataloader, "batch_sampler", None)
    per_process = per_process or getattr(sampler, "batch_size", None) or 1
    counts = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    text = f"{many(per_process * runner.world_size * counts, 'image')} per step"
    factors = [many(per_process, "image")]
    if runner.world_size > 1:
        factors.append(f"{runner.world_size} processes")
    if counts > 1:
        factors.append(f"{counts} batches")
    return text if len(factors) == 1 else f"{text} ({' x '.join(factors)})"


def _length(runner: Runner) -> str:
    loop = runner.train_loop
    if counts_iterations(runner):
        unit, text = "iteration", many(loop.max_iters, "iteration")
    else:
        unit = "epoch"
        text = f"{many(loop.max_epochs, unit)} of {many(len(loop.dataloader), 'iteration')}"
    interval = getattr(loop, "val_interval", None)
    if runner.val_loop is None or not interval:
        return f"{text}, no validation"
    return f"{text}, validated every {unit if interval == 1 else many(interval, unit)}"


def _optimizer(runner: Runner) -> str:
    optimizers = optimizers_of(runner.optim_wrapper)
    return ", ".join(
        f"{type(one).__name__}, learning rate {max(_rates(one.param_groups)):g}"
        for one in optimizers
    )


def _rates(groups: Sequence[Mapping]) -> list[float]:
    # A schedule has set the rate of the first step, and keeps that of its peak.
    return [float(group.get("initial_lr", group["lr"])) for group in groups]


def _device(runner: Runner) -> str:
    if runs_on := getattr(unwrap_model(runner.model), "runs_on", ""):  # an exported model
        return runs_on
    device = next((p.device for p in runner.model.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return f"{runner.world_size} x {name}" if runner.world_size > 1 else name
    text = f"{device.type.upper()}, {many(torch.get_num_threads(), 'thread')}"
    return f"{runner.world_size} x {text}" if runner.world_size > 1 else text


def _precision(runner: Runner) -> str:
    wrapper = runner.optim_wrapper
    if "Amp" not in type(wrapper).__name__:
        return "float32"
    dtype = getattr(wrapper, "cast_dtype", None)
    return f"mixed precision {str(dtype).removeprefix('torch.')}" if dtype else "mixed precision"
