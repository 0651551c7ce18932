"""Measure whole models of configs on random input: a training step, or a prediction, by phase."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmengine.config import Config
from torch import nn

from convnext_dense.benchmark.memory import MemoryWatch
from convnext_dense.benchmark.timing import Spread, paired_ratio, rotated, synchronise
from convnext_dense.config_tree import is_segmenter, walk

if TYPE_CHECKING:
    from mmengine.model import BaseModel
    from mmengine.optim import OptimWrapper
    from mmengine.structures import BaseDataElement

# A factor of the learning rate: the weights are random, and must stay finite.
SLOW_DOWN = 1e-6
# Boxes above the score threshold per kept detection, about as many as a trained detector has.
CANDIDATES = 3


@dataclass
class ModelRow:
    """What was measured of a config.

    Attributes:
        title: The config's name.
        mode: ``train`` or ``infer``.
        precision: ``fp32`` or ``amp``.
        shape: Height and width of the images.
        batch: The number of images.
        memory: Peak memory of a step in bytes, without weights and the optimizer's state.
        samples: Seconds of each phase, one sample per round.
        notes: Sentences that explain the row.
    """

    title: str
    mode: str
    precision: str
    shape: tuple[int, int]
    batch: int
    memory: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def totals(self) -> list[float]:
        """Seconds of all phases together, one sample per round."""
        return [sum(phases) for phases in zip(*self.samples.values(), strict=True)]

    @property
    def total(self) -> Spread:
        """Seconds of a step."""
        return Spread.of(self.totals)

    def ratio_to(self, first: ModelRow) -> Spread:
        """Return the time divided by another config's, round by round."""
        return paired_ratio(self.totals, first.totals)


class Phases:
    """Measure the times of a step's phases.

    Attributes:
        seconds: The time of each phase, by name.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a ``with`` block, and wait for the device before and after it."""
        synchronise(self.device)
        start = time.perf_counter()
        yield
        synchronise(self.device)
        self.seconds[name] = time.perf_counter() - start


@dataclass
class ModelRunner:
    """A model with its input, and its optimizer in training."""

    row: ModelRow
    model: BaseModel
    batch: dict
    device: torch.device
    wrapper: OptimWrapper | None = None
    loss: torch.Tensor | None = None
    found: Sequence[BaseDataElement] = ()

    def step(self) -> dict[str, float]:
        """Train on the batch, or predict, and return the seconds of each phase."""
        # The preprocessor changes the annotations in place.
        batch, phase = copy.deepcopy(self.batch), Phases(self.device)
        if self.wrapper is None:
            self._predict(batch, phase)
        else:
            self._train(self.wrapper, batch, phase)
        return phase.seconds

    def _train(self, wrapper: OptimWrapper, batch: dict, phase: Phases) -> None:
        with phase("data"):
            data = self.model.data_preprocessor(batch, True)
        with phase("forward"), wrapper.optim_context(self.model):
            loss, _ = self.model.parse_losses(self.model._run_forward(data, mode="loss"))
        with phase("backward"):
            wrapper.backward(loss)
        with phase("step"):
            wrapper.step()
            wrapper.zero_grad()
        self.loss = loss.detach()

    def _predict(self, batch: dict, phase: Phases) -> None:
        with torch.no_grad():
            with phase("data"):
                data = self.model.data_preprocessor(batch, False)
            is_amp = self.row.precision == "amp"
            autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=is_amp)
            with phase("forward"), autocast:
                self.found = self.model._run_forward(data, mode="predict")

    def check(self) -> None:
        """Check that the loss is finite.

        Raises:
            RuntimeError: If it is not.
        """
        if self.loss is not None and not self.loss.isfinite():
            raise RuntimeError(f"{self.row.title}: the loss is {self.loss.item()}")


def measure_models(
    configs: dict[str, Config],
    mode: str,
    device: torch.device,
    dtype: str,
    *,
    shape: tuple[int, int] | None = None,
    batch: int | None = None,
    rounds: int = 10,
    say: Callable[[str], None] = lambda message: None,
) -> list[ModelRow]:
    """Measure the models of configs in turns, with random weights on random input.

    Args:
        configs: Configs of mmdet or mmseg, by title. Their ``optim_wrapper`` has the precision of
            ``dtype``. Changed in place.
        mode: ``train``: preprocessing, losses, backward, the optimizer's step. ``infer``:
            preprocessing and prediction, including postprocessing.
        device: The device.
        dtype: ``fp32`` or ``amp``.
        shape: Height and width of the images; None takes :func:`recipe_shape`.
        batch: The number of images; None takes the config's for training, 1 for prediction.
        rounds: Samples of each config.
        say: Called with messages about the progress.

    Raises:
        ValueError: If a config has no model, batch size or optimizer, and needs it.
        RuntimeError: If the loss is not finite.
    """
    runners = {}
    for title, cfg in configs.items():
        say(f"{title}: building")
        runner = _build(title, cfg, mode, device, dtype, shape, batch)
        say(f"{title}: first steps")
        for _ in range(2):  # the first makes the optimizer's state
            runner.step()
        with MemoryWatch(device) as watch:
            runner.step()
        runner.row.memory = watch.peak
        runner.check()
        runners[title] = runner
    say(f"{len(runners)} models in turns, {rounds} rounds")
    for turn in range(rounds):
        for title in rotated(list(runners), turn):
            for phase, seconds in runners[title].step().items():
                runners[title].row.samples.setdefault(phase, []).append(seconds)
    for runner in runners.values():
        runner.check()
    return [runner.row for runner in runners.values()]


def recipe_shape(cfg: Config, mode: str) -> tuple[int, int]:
    """Return the size of image that a config trains or predicts on.

    Returns:
        A detector's fixed size, or else 800 x 1280. A segmenter's crop in training; for prediction
        an image as high as that and 4/3 as wide.

    Raises:
        ValueError: Where a segmenter's config names no crop.
    """
    from convnext_dense.analysis.flops import default_shape
    from convnext_dense.swap.trial_inputs import image_size

    if not is_segmenter(cfg.model):
        return image_size(cfg) or default_shape(cfg)
    crop = (cfg.model.get("data_preprocessor") or {}).get("size") or cfg.get("crop_size")
    if not crop:
        height = default_shape(cfg)[0]
        crop = height, height
    return tuple(crop) if mode == "train" else (crop[0], round(crop[0] * 4 / 3))


def _build(
    title: str,
    cfg: Config,
    mode: str,
    device: torch.device,
    dtype: str,
    shape: tuple[int, int] | None,
    batch: int | None,
) -> ModelRunner:
    from mmengine.model import revert_sync_batchnorm
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS, DefaultScope

    from convnext_dense.inference.model import in_fastest_layout
    from convnext_dense.patches import enable
    from convnext_dense.swap.trial import drop_checkpoints, quiet

    if "model" not in cfg:
        raise ValueError(f"config {title} has no model: name a config with a model")
    height, width = shape or recipe_shape(cfg, mode)
    shape = (height, width)
    if mode == "train" and "optim_wrapper" not in cfg:
        raise ValueError(f"config {title} has no optim_wrapper, which training needs")
    if batch is None:
        batch = cfg.get("train_dataloader", {}).get("batch_size") if mode == "train" else 1
    if batch is None:
        raise ValueError(f"config {title} has no train_dataloader.batch_size: give `batch`")
    row = ModelRow(title, mode, dtype, shape, batch)
    enable()
    with quiet(), DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
        drop_checkpoints(cfg.model)  # the values of weights cost no time
        for _, node in walk(cfg.model.get("data_preprocessor")):
            if mode == "train" and "size" in node:
                node["size"] = shape
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        model.init_weights()
        if mode == "infer" and device.type == "cpu":  # as in a Predictor
            model = in_fastest_layout(model)
        model = model.to(device).train(mode == "train")
        data = _random_batch(cfg, model, mode, shape, batch)
        wrapper = None
        if mode == "train":
            wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
            for group in wrapper.optimizer.param_groups:
                group["lr"] *= SLOW_DOWN
    runner = ModelRunner(row, model, data, device, wrapper)
    if mode == "infer" and hasattr(model, "roi_head"):
        _let_detect(runner)
    if mode == "infer" and not is_segmenter(cfg.model):
        runner.step()
        found = [len(sample.pred_instances) for sample in runner.found]
        row.notes.append(f"{sum(found) / len(found):.0f} detections an image")
    return runner


def _random_batch(
    cfg: Config, model: BaseModel, mode: str, shape: tuple[int, int], batch: int
) -> dict:
    """Make images of one size, with the kinds of annotations that the config has."""
    from convnext_dense.swap.trial_inputs import read_annotations, training_batch

    annotations = replace(read_annotations(cfg, cfg.model), margins=((0, 0), (0, 0)))
    pairs = [training_batch(model, annotations, shape) for _ in range(-(-batch // 2))]
    data = {key: [one for pair in pairs for one in pair[key]][:batch] for key in pairs[0]}
    if mode == "infer":
        for sample in data["data_samples"]:  # predictions are scaled to the image's own size
            sample.set_metainfo(dict(ori_shape=tuple(shape), scale_factor=(1.0, 1.0)))
    return data


def _let_detect(runner: ModelRunner) -> None:
    """Lower the score threshold until a random two-stage detector finds as much as it may keep.

    With the config's threshold it would find nothing, and never run its mask head.
    """
    heads = runner.model.roi_head.bbox_head
    heads = list(heads) if isinstance(heads, nn.ModuleList) else [heads]
    test_cfg = runner.model.roi_head.test_cfg
    logits: list[torch.Tensor] = []
    handles = [
        head.register_forward_hook(lambda module, args, output: logits.append(output[0]))
        for head in heads
    ]
    test_cfg.score_thr = 1.0
    runner.step()
    for handle in handles:
        handle.remove()
    # Cascades average the stages.
    scores = torch.stack(logits).float().mean(0).softmax(-1)[:, :-1].flatten()
    wanted = CANDIDATES * test_cfg.max_per_img * runner.row.batch
    test_cfg.score_thr = scores.topk(min(wanted, len(scores))).values[-1].item()
    runner.row.notes.append(
        f"score threshold {test_cfg.score_thr:.3g} instead of the config's, since random weights "
        "find nothing above that"
    )


def title_of(name: str) -> str:
    """Return the name of a config in a table.

    Example:
        >>> title_of("configs/det/mask_rcnn_swin_t_coco.py")
        'mask_rcnn_swin_t_coco'
    """
    return Path(name.rpartition("::")[2]).stem
