"""What is asked of a run beside its config: the flags of a command line, or a Python user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmengine.config import Config

# What an option without a value stands for.
AUTO = "auto"
NONE = "none"
PUBLISHED = "published"

AMP_DTYPES = ("float16", "bfloat16")
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


@dataclass(frozen=True)
class RunOptions:
    """What is asked of a training, a test or another use of a config.

    What is None, False or empty leaves the config as it is. An option that concerns nothing in the
    config is refused.

    Args:
        config: A config, its path, or the name of one of mmdet's or mmseg's: ``mmdet::...``.
        data_root: Folder of the data set, in every loader.
        classes: Class names, or one string with commas. Their order is that of the COCO file's
            categories, or of the labels in the label maps.
        img_size: Short side, or crop, in pixels; see
            :func:`~convnext_dense.config.data.image_size.set_image_size`.
        ann_train: A COCO file, or a segmenter's folder of label maps, absolute or relative to the
            data root. The images' folder is looked for.
        ann_val: The same for validation and test.
        batch_size: Training images per process.
        box_only: Whether to train and evaluate boxes alone.
        backbone: An arch of ConvNeXt that takes the place of the config's backbone, or ``same``.
        recipe: With ``backbone``: ``keep`` the config's optimizer, or take the published one of
            ``convnext``.
        mode: With ``backbone``: ``auto``, ``native`` or ``adapter``; see
            :func:`~convnext_dense.swap_backbone`.
        backbone_options: With ``backbone``: further arguments of :class:`~convnext_dense.ConvNeXt`.
        weights: What the backbone starts from: a file, URL or hub id, a name of
            :data:`convnext_dense.zoo.WEIGHTS` for those published for its arch, or ``none``.
        amp: ``float16`` or ``bfloat16``: mixed precision.
        launcher: What started the processes: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        accumulate: Batches per optimizer step.
        auto_scale_lr: Whether the learning rate is scaled with the images of a step.
        seed: From 0 to 2**32 - 1; makes a run repeatable.
        deterministic: Whether to choose deterministic kernels, which are slower.
        ema: Whether to evaluate and keep averaged weights.
        tensorboard: Whether to log for TensorBoard too.
        resume: A checkpoint that the training goes on from, or ``auto`` for the newest whole one of
            its work directory.
        work_dir: Where the run writes; by default ``work_dirs/<name of the config>``.
        cfg_options: Values by dotted key. They are set last and win over all other options but
            ``weights``.
        force_keys: Keys that ``cfg_options`` may set although nothing is known to read them.
        checkpoint: Of a test: path or URL of a whole model, or ``published``.
        out: Of a test: where the predictions are kept; see
            :func:`~convnext_dense.config.steps.outputs.keep_predictions`.
        show_dir: Of a test: a folder for pictures of truth and prediction.
        tta: Of a test: whether to run the published scales and flips.
    """

    config: str | Path | Config
    data_root: str | None = None
    classes: str | Sequence[str] | None = None
    img_size: int | None = None
    ann_train: str | None = None
    ann_val: str | None = None
    batch_size: int | None = None
    box_only: bool = False
    backbone: str | Mapping | None = None
    recipe: Literal["keep", "convnext"] = "keep"
    mode: Literal["auto", "native", "adapter"] = "auto"
    backbone_options: Mapping[str, object] = field(default_factory=dict)
    weights: str | None = None
    amp: str | None = None
    launcher: str = "none"
    accumulate: int | None = None
    auto_scale_lr: bool = False
    seed: int | None = None
    deterministic: bool = False
    ema: bool = False
    tensorboard: bool = False
    resume: str | None = None
    work_dir: str | None = None
    cfg_options: Mapping[str, object] = field(default_factory=dict)
    force_keys: Sequence[str] = ()
    checkpoint: str | None = None
    out: str | None = None
    show_dir: str | None = None
    tta: bool = False
