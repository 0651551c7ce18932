"""Build the model of a config with the weights of a checkpoint, for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import CheckpointLoader
from torch import nn

from convnext_dense.checkpoints.containers import meta_of, trained_classes
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.config.checks.values import check_sections
from convnext_dense.config_tree import datasets
from convnext_dense.data.check import build_without_annotations
from convnext_dense.upstream import mmcv_ext
from convnext_dense.zoo.models import locate_model

if TYPE_CHECKING:
    from mmengine.model import BaseModel


def build_model(
    cfg: Config, checkpoint: str, device: torch.device, score: float
) -> tuple[BaseModel, dict]:
    """Build a model for inference.

    Args:
        cfg: A config of mmdet or mmseg. Changed in place.
        checkpoint: Path or URL of a whole model, or ``published`` or ``openmmlab``.
        device: The model's device.
        score: Detections with a lower score are not needed.

    Returns:
        The model in evaluation mode on its device, and the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If ``checkpoint`` is the name of a model that the recipe does not have, or
            the config has no model.
        RuntimeError: If the checkpoint is not of this model.
    """
    check_sections(cfg, ["model"])
    checkpoint = locate_model(checkpoint, cfg.filename or "the config")
    raise_threshold(cfg.model, score)
    scope = cfg.get("default_scope")
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    if device.type == "cpu":
        model = in_fastest_layout(revert_sync_batchnorm(model))
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    model.load_state_dict(parameters_for_model(model, content, checkpoint), strict=False)
    return model.to(device).eval(), dict(meta_of(content))


def in_fastest_layout(model: nn.Module) -> nn.Module:
    """Change a model's memory format to the one that is fastest for prediction on a CPU, in place.

    In channels-last memory the convolutions of neck and heads take a tenth less time. But a
    compiled mmcv reads maps as if they were contiguous, and would find wrong boxes without an
    error.
    """
    if mmcv_ext.is_compiled():
        return model
    # torch's type hints lack this argument.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def choose_device(name: str | None) -> torch.device:
    """Return the device of a name; for None CUDA if there is a GPU, else the CPU.

    Raises:
        RuntimeError: If there is no such device.
        ValueError: If the name is not a device's.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"`device={name!r}` is no device: cpu, cuda and cuda:1 are some") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(
            f"`device={name!r}`: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs"
        )
    return device


def raise_threshold(model: ConfigDict, score: float) -> None:
    """Make a two-stage detector drop boxes below a score before it computes their masks.

    The boxes above the score stay the same, since only a higher score suppresses a box.
    """
    rcnn = (model.get("test_cfg") or {}).get("rcnn") or {}
    if "score_thr" in rcnn:
        rcnn["score_thr"] = max(rcnn["score_thr"], score)


def test_dataset(cfg: Config) -> ConfigDict:
    """Return the config of the test data set, without wrappers.

    Raises:
        ValueError: If the config has none.
    """
    found = datasets(cfg, "test")
    if not found:
        raise ValueError(
            f"{cfg.filename or 'the config'} has no test_dataloader: its pipeline is needed to "
            "prepare the pictures"
        )
    return found[0][1]


def dataset_meta(cfg: Config, checkpoint_meta: dict) -> dict:
    """Return the classes, their colours and the first label.

    Names in the checkpoint are preferred, since the model was trained with them.

    Args:
        cfg: The config.
        checkpoint_meta: ``meta`` of the checkpoint.

    Returns:
        ``classes``, ``palette`` (RGB, one per class) and ``first_label``, see
        :class:`~convnext_dense_runtime.results.Segmentation`.
    """
    dataset = build_without_annotations(cfg, "test_dataloader.dataset", test_dataset(cfg))
    trained = checkpoint_meta.get("dataset_meta") or {}
    classes = trained_classes(checkpoint_meta) or tuple(dataset.metainfo["classes"])
    palettes = (dataset.metainfo.get("palette"), trained.get("palette"))
    palette = next((list(p) for p in palettes if p is not None and len(p) >= len(classes)), None)
    first_label = int(getattr(dataset, "reduce_zero_label", False))
    return dict(classes=classes, palette=palette, first_label=first_label)
