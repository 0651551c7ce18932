"""Try a config: take one training step and make one prediction with random input, on the CPU.

Nothing is downloaded and no data set is read: checkpoints are left out, so weights keep their
initial values. Images are small; all else in the config (queries, decoder layers, assigners,
losses) is as in training.
"""

from __future__ import annotations

import copy
import importlib
import io
import logging
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from convnext_dense.config_tree import custom_modules, type_name, walk
from convnext_dense.swap.trial_inputs import (
    image_size,
    prediction_batch,
    read_annotations,
    training_batch,
)
from convnext_dense.swap.trial_text import replace_language_models

STEPS = ("build", "loss", "backward", "step", "predict")
CANVAS = (96, 128)
# LR-ASPP's head averages over 49 x 49 positions of stride 8.
WIDE_CANVAS = (416, 448)
# Necks that join two levels need sides that fit the coarser one's stride, 64 at most.
DIVISOR = 64
PROPOSALS = 100
# The step has the learning rate of the start of a warm-up: a random network diverges with more.
WARM_UP = 1e-3


@dataclass(frozen=True)
class Trial:
    """Result of a trial.

    Attributes:
        losses: The losses by name, as they are logged.
        no_gradient: Names of the backbone's trainable parameters without a gradient. Training in
            several processes fails on them.
        optimizer: The optimizer that took the step.
        seconds: Duration of each step: build, loss, backward, step, predict.
        predicted: Whether the prediction ran.
        dropped: The parts of the config that the trial left out.
    """

    losses: dict[str, float] = field(default_factory=dict)
    no_gradient: tuple[str, ...] = ()
    optimizer: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    predicted: bool = False
    dropped: tuple[str, ...] = ()


class TrialError(RuntimeError):
    """A config that cannot be built, trained or used for prediction.

    Attributes:
        step: The step that failed: build, loss, backward, step or predict.
        cause: The error.
        trial: Result of the steps before.
    """

    def __init__(self, step: str, cause: Exception, trial: Trial) -> None:
        self.step = step
        self.cause = cause
        self.trial = trial
        super().__init__(f"the config fails at {step}: {type(cause).__name__}: {cause}")


def run_trial(cfg: Config, *, seed: int = 0, size: tuple[int, int] | None = None) -> Trial:
    """Build a config's model, take one training step and make one prediction.

    Of a semi-supervised detector, or a tracker that trains only its detector, the detector inside
    is tried. A language model is replaced by random embeddings. Two-stage detectors train on and
    classify at most 100 proposals.

    Args:
        cfg: A config with a ``model`` of mmdet or mmseg. It is not changed.
        seed: Seed of weights and input. The states of random generators are restored afterwards.
        size: Height and width in pixels of the padded images; None takes 96 x 128, one pixel more
            if the config crops to odd sizes, and more if a model needs it.

    Raises:
        TrialError: If a step fails: the model does not build, a loss, a gradient or a parameter
            after the step is not finite, or any other error is raised.
    """
    trial = Trial()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        nonlocal trial
        start = time.perf_counter()
        try:
            yield
        except Exception as cause:  # models of others can raise anything
            raise TrialError(name, cause, trial) from cause
        trial = replace(trial, seconds={**trial.seconds, name: time.perf_counter() - start})

    with _seeded(seed), quiet(), DefaultScope.overwrite_default_scope(_scope(cfg)):
        with step("build"):
            model_cfg, dropped = _model_config(cfg)
            set_counters()
            trial = replace(trial, dropped=tuple(dropped))
            canvas = size or _canvas(cfg, model_cfg)
            _shrink(model_cfg, canvas)
            annotations = read_annotations(cfg, model_cfg)
            model = revert_sync_batchnorm(MODELS.build(model_cfg))
            model.init_weights()
            batch = training_batch(model, annotations, canvas)
            wrapper, optimizer = _optim_wrapper(cfg, model)
        trial = replace(trial, optimizer=optimizer)
        with step("loss"):
            model.train()
            inputs = model.data_preprocessor(batch, True)
            total, log = model.parse_losses(model._run_forward(inputs, mode="loss"))
            trial = replace(trial, losses={name: value.item() for name, value in log.items()})
            _check_losses(trial.losses)
        with step("backward"):
            total.backward()
            trial = replace(trial, no_gradient=_no_gradient(model))
            _check_finite("gradient", {n: p.grad for n, p in model.named_parameters()})
        with step("step"):
            for group in wrapper.optimizer.param_groups:
                group["lr"] *= WARM_UP
            wrapper.step()
            wrapper.zero_grad()
            _check_finite("value after the step", dict(model.named_parameters()))
        with step("predict"), torch.no_grad():
            model.eval()
            model.test_step(prediction_batch(model, annotations, canvas))
    return replace(trial, predicted=True)


def _scope(cfg: Config) -> str:
    return cfg.get("default_scope") or "mmengine"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextmanager
def quiet() -> Iterator[None]:
    """Silence mmengine's log and mmseg's prints about each parameter."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _model_config(cfg: Config) -> tuple[ConfigDict, list[str]]:
    """Return the part of the config to build, without checkpoints, and what was left out."""
    if "model" not in cfg:
        raise ValueError(f"config {cfg.filename} has no model: name a config with a model")
    dropped = _import_modules(cfg)
    model = copy.deepcopy(cfg.model)
    if cfg.get("data_preprocessor"):
        model.setdefault("data_preprocessor", copy.deepcopy(cfg.data_preprocessor))
    if "type" in model.get("detector", {}) and "track_head" not in model:
        dropped.append(f"{type_name(model)} around its detector")
        model = _inner_detector(model)
    dropped += replace_language_models(model)
    dropped += drop_checkpoints(model)
    for _, node in walk(model):
        if node.get("num_cp"):
            dropped.append(f"num_cp={node['num_cp']} (activation checkpointing)")
            node["num_cp"] = 0
        if isinstance(node.get("teacher_config"), str):
            node["teacher_config"] = _find_config(node["teacher_config"], _scope(cfg))
    return model, dropped


def drop_checkpoints(model: ConfigDict) -> list[str]:
    """Remove the checkpoints that a model's config names, and return them."""
    dropped = []
    for _, node in walk(model):
        for key in ("pretrained", "teacher_ckpt"):
            if node.get(key):
                dropped.append(f"{key}={node[key]!r}")
                node[key] = False if node[key] is True else None
        if any("checkpoint" in init for _, init in walk(node.get("init_cfg"))):
            dropped.append(f"init_cfg={node.pop('init_cfg')!r}")
    return dropped


def _import_modules(cfg: Config) -> list[str]:
    """Import the config's custom modules, and return those that are missing."""
    missing = []
    for name in custom_modules(cfg):
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"custom import {name} ({error})")
    return missing


def set_counters() -> None:
    """Set the counters that a runner sets, since some models and batch augmentations read them."""
    hub = MessageHub.get_current_instance()
    for counter in ("iter", "epoch"):
        if hub.get_info(counter) is None:
            hub.update_info(counter, 0)


def _inner_detector(model: ConfigDict) -> ConfigDict:
    """Return the detector of a semi-supervised model or tracker, with an image preprocessor."""
    detector = model.detector
    outer = model.get("data_preprocessor") or ConfigDict()
    preprocessor = outer.get("data_preprocessor") or outer
    if preprocessor and not detector.get("data_preprocessor"):
        detector.data_preprocessor = ConfigDict(preprocessor, type="DetDataPreprocessor")
        detector.data_preprocessor.pop("use_det_processor", None)
    return detector


def _find_config(path: str, scope: str) -> str:
    """Return the path of a teacher's config, which mmdet states relative to its repository."""
    if Path(path).exists():
        return path
    package = importlib.util.find_spec(scope)
    installed = (
        Path(package.origin).parent / ".mim" / path if package and package.origin else Path(path)
    )
    return str(installed if installed.exists() else path)


def _canvas(cfg: Config, model: ConfigDict) -> tuple[int, int]:
    for _, node in walk(model):
        if "input_size" in node:  # SSD's anchors and last levels fit one size
            return node["input_size"], node["input_size"]
    lraspp = any(node.get("type") == "LRASPPHead" for _, node in walk(model))
    height, width = WIDE_CANVAS if lraspp else CANVAS
    # A two-stage detection transformer chooses its queries among the positions of its levels,
    # strides 8 to 64.
    while height * width / 50 < model.get("num_queries", 0):
        height, width = 2 * height, 2 * width
    crop = model.get("data_preprocessor", {}).get("size") or cfg.get("crop_size")
    if crop:
        odd = int(any(side % 2 for side in crop))
        return height + odd, width + odd
    if not any(side % DIVISOR for side in image_size(cfg) or (1,)):
        return math.ceil(height / DIVISOR) * DIVISOR, math.ceil(width / DIVISOR) * DIVISOR
    return height, width


def _shrink(model: ConfigDict, canvas: tuple[int, int]) -> None:
    """Replace sizes in pixels by those of the trial, and limit the number of proposals."""
    height, width = canvas
    for _, node in walk(model.get("data_preprocessor")):
        if "size" in node:
            node["size"] = canvas
        if "scale" in node:
            node["scale"] = (width, height)
    for _, node in walk(model):
        for _, proposals in walk([node.get("rpn"), node.get("rpn_proposal")]):
            if proposals.get("max_per_img", 0) > PROPOSALS:
                proposals["max_per_img"] = PROPOSALS
        for _, sampler in walk([node.get("sampler")]):
            if sampler.get("num", 0) > PROPOSALS:
                sampler["num"] = PROPOSALS
    if "img_size" in model.get("backbone", {}):
        model.backbone.img_size = canvas
    test_cfg = model.get("test_cfg") or {}
    if "slide" in (test_cfg.get("mode") or ""):
        test_cfg.update(crop_size=canvas, stride=(height * 2 // 3, width * 2 // 3))


def _optim_wrapper(cfg: Config, model: nn.Module) -> tuple[OptimWrapper, str]:
    """Build the config's optimizer in float32, or plain SGD if it cannot be built."""
    wrapper_cfg = copy.deepcopy(cfg.get("optim_wrapper"))
    reason = "the config has no optim_wrapper"
    if wrapper_cfg:
        wrapper_cfg.type = "OptimWrapper"
        for key in ("loss_scale", "dtype", "use_fp16"):
            wrapper_cfg.pop(key, None)
        try:
            wrapper = build_optim_wrapper(model, wrapper_cfg)
            return wrapper, type_name(wrapper_cfg.optimizer)
        except Exception as error:  # constructors of others can raise anything
            reason = f"the config's does not build: {type(error).__name__}: {error}"
    parameters = [p for p in model.parameters() if p.requires_grad]
    return OptimWrapper(torch.optim.SGD(parameters, lr=0.01)), f"plain SGD ({reason})"


def _check_losses(losses: dict[str, float]) -> None:
    wrong = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if wrong:
        raise FloatingPointError(f"losses that are not finite: {wrong}")


def _check_finite(what: str, tensors: dict[str, torch.Tensor | None]) -> None:
    wrong = [name for name, t in tensors.items() if t is not None and not t.isfinite().all()]
    if wrong:
        raise FloatingPointError(
            f"{len(wrong)} parameters have a {what} that is not finite: {', '.join(wrong[:5])}"
        )


def _no_gradient(model: nn.Module) -> tuple[str, ...]:
    """Return the backbone's trainable parameters that have no gradient."""
    return tuple(
        name
        for name, parameter in model.named_parameters()
        if name.removeprefix("detector.").startswith("backbone.")
        and parameter.requires_grad
        and parameter.grad is None
    )
