"""The options of a run beside its config, from a command line or from Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from mmengine.config import Config

# Special values of options.
ALL = "all"
AUTO = "auto"
NONE = "none"

AMP_DTYPES = ("float16", "bfloat16")
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
_LEAST = {"accumulate": 1, "early_stop": 1, "limit": 1, "workers": 0}


@dataclass(frozen=True)
class RunOptions:
    """Options of a training, a test or another use of a config.

    An option that is None, False or empty does not change the config. An option that has nothing to
    change in the config is refused.

    Args:
        config: A config, its path, or the name of one of mmdet's or mmseg's: ``mmdet::...``.
        data_root: Folder of the data set, for every loader.
        classes: Class names, or one string with commas, in the order of the COCO file's categories,
            or of the labels in the label maps.
        img_size: Short side, or crop, in pixels; see
            :func:`~convnext_dense.config.data.image_size.set_image_size`.
        ann_train: A COCO file, or a segmenter's folder of label maps, absolute or relative to the
            data root. The folder of the images is found automatically.
        ann_val: The same for validation and test.
        batch_size: Training images per process; ``auto`` finds the most that fit into a GPU, and
            scales the learning rate with them.
        workers: Processes per loader that load data; 0 loads in the run's own process.
        limit: Images of each split to use, for a trial run.
        box_only: Whether to train and evaluate only boxes.
        backbone: An arch of ConvNeXt that replaces the config's backbone, ``same``, or
            ``roadmap:STEP`` or ``roadmap:STEP:REGIME`` for a network between ResNet and ConvNeXt.
        recipe: With ``backbone``: ``keep`` the config's optimizer, or use the published one of
            ``convnext``.
        mode: With ``backbone``: ``auto``, ``native`` or ``adapter``; see
            :func:`~convnext_dense.swap_backbone`.
        backbone_options: With ``backbone``: further arguments of :class:`~convnext_dense.ConvNeXt`.
        weights: Initial weights of the backbone: a file, URL or hub id, a name in
            :data:`~convnext_dense.zoo.weights.WEIGHTS` for the published weights of its arch, or
            ``none``.
        freeze: The backbone's ``frozen_stages``: -1 freezes nothing, 0 the stem, n the stem and the
            first n stages; or ``all``.
        amp: Mixed precision: ``float16`` or ``bfloat16``.
        launcher: Launcher of the processes: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        accumulate: Batches per optimizer step.
        auto_scale_lr: Whether to scale the learning rate with the number of images per step.
        epochs: Epochs of the training. Schedules, intervals and stages are scaled with the length.
            A config that counts iterations gets as many as these epochs have on its data.
        iters: Iterations of the training, instead of ``epochs``. A config that counts epochs then
            counts iterations.
        lr: Base learning rate of the optimizer. Rates at which a schedule ends follow.
        val_every: Epochs between validations, or iterations if the training counts these.
        seed: Seed from 0 to 2**32 - 1, which makes a run repeatable.
        deterministic: Whether to use deterministic kernels, which are slower.
        ema: Whether to evaluate and save averaged weights.
        early_stop: Validations in a row without a new best after which the training stops.
        log: Names of trackers to log to as well, or one string with commas; see
            :data:`convnext_dense.config.trackers.TRACKERS`.
        tensorboard: The same as ``log="tensorboard"``.
        resume: A checkpoint to resume the training from, or ``auto`` for the newest whole one in
            its work directory.
        work_dir: Folder that the run writes to; by default ``work_dirs/<name of the config>``.
        cfg_options: Values by dotted key. They override the options of data and backbone; those of
            weights and training are set after them.
        force_keys: Keys that ``cfg_options`` may set although they are unknown.
        checkpoint: For a test: path or URL of a whole model, or ``published`` or
            ``openmmlab`` for the fine-tuned one of a recipe.
        out: For a test: file or folder of the predictions; see
            :func:`~convnext_dense.config.steps.outputs.keep_predictions`.
        show_dir: For a test: folder for pictures of truth and prediction.
        tta: For a test: whether to use the published scales and flips.

    Raises:
        ValueError: Where an option is out of its range, or two options contradict each other.
    """

    config: str | Path | Config
    data_root: str | None = None
    classes: str | Sequence[str] | None = None
    img_size: int | None = None
    ann_train: str | None = None
    ann_val: str | None = None
    batch_size: int | str | None = None
    workers: int | None = None
    limit: int | None = None
    box_only: bool = False
    backbone: str | Mapping | None = None
    recipe: Literal["keep", "convnext"] = "keep"
    mode: Literal["auto", "native", "adapter"] = "auto"
    backbone_options: Mapping[str, object] = field(default_factory=dict)
    weights: str | None = None
    freeze: int | str | None = None
    amp: str | None = None
    launcher: str = "none"
    accumulate: int | None = None
    auto_scale_lr: bool = False
    epochs: int | None = None
    iters: int | None = None
    lr: float | None = None
    val_every: int | None = None
    seed: int | None = None
    deterministic: bool = False
    ema: bool = False
    early_stop: int | None = None
    log: str | Sequence[str] | None = None
    tensorboard: bool = False
    resume: str | None = None
    work_dir: str | None = None
    cfg_options: Mapping[str, object] = field(default_factory=dict)
    force_keys: Sequence[str] = ()
    checkpoint: str | None = None
    out: str | None = None
    show_dir: str | None = None
    tta: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("amp", (None, *AMP_DTYPES)), ("launcher", LAUNCHERS)):
            value = getattr(self, name)
            if value not in choices:
                listed = ", ".join(map(str, choices))
                raise ValueError(f"`{name}` is one of {listed}, got {value!r}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"`{name}` is at least {least}, got {value}")
        for name in ("epochs", "iters", "val_every"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"`{name}` is a whole number from 1, got {value!r}")
        if self.epochs is not None and self.iters is not None:
            raise ValueError(
                f"`epochs={self.epochs}` and `iters={self.iters}` are two lengths: give one"
            )
        is_rate = isinstance(self.lr, int | float) and 0 < self.lr < math.inf
        if self.lr is not None and not is_rate:
            raise ValueError(f"`lr` is a finite number above 0, got {self.lr!r}")


def changed_options(options: RunOptions) -> dict[str, object]:
    """Return the options, without ``config``, that are not as usual."""
    usual = RunOptions(options.config)
    return {
        field.name: value
        for field in fields(options)
        if field.name != "config"
        and (value := getattr(options, field.name)) != getattr(usual, field.name)
        and value not in ([], (), {})
    }
