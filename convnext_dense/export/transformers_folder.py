"""Write a detector or segmenter with a head of transformers as a folder of transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from convnext_dense.checkpoints.containers import meta_of, trained_classes
from convnext_dense.checkpoints.transformers_head import quietly
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.config.plain_config import parse_plain_config
from convnext_dense.files import replacing_folder
from convnext_dense.heads.transformers.configs import DETECTOR, SEGMENTER
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

SCOPES = {DETECTOR: "mmdet", SEGMENTER: "mmseg"}


def write_transformers_folder(checkpoint: str | os.PathLike, folder: str | os.PathLike) -> str:
    """Write the model of a training as transformers' ``save_pretrained`` does.

    ``from_pretrained`` of transformers then gives the same outputs, without this package.

    Args:
        checkpoint: File of a training with a ``TransformersDetector`` or ``TransformersSegmentor``;
            its config is read from it, and nothing of that is run.
        folder: New or empty folder for ``config.json``, ``model.safetensors`` and
            ``preprocessor_config.json``.

    Returns:
        The class of transformers that reads the folder.

    Raises:
        FileExistsError: If the folder holds something.
        OSError: If the checkpoint could not be read, or the folder could not be written.
        RuntimeError: If the checkpoint is damaged, or does not fit its config.
        ValueError: If it holds no such model, or transformers has no such backbone.
        ImportError: If transformers is absent or too old.
    """
    from convnext_dense.heads.transformers.own_backbone import model_of_transformers

    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists: give a new or an empty folder")
    content = read_checkpoint(Path(checkpoint), "cpu")
    cfg = _model_config(content, str(checkpoint))
    scope = SCOPES[cfg.type]
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build({"type": cfg.type, "backbone": cfg.backbone, "head": cfg.head})
    model.load_state_dict(parameters_for_model(model, content, str(checkpoint)), strict=False)
    theirs = model_of_transformers(model.backbone, model.head)
    classes = trained_classes(meta_of(content))
    if len(classes) == theirs.config.num_labels:
        theirs.config.id2label = dict(enumerate(classes))
        theirs.config.label2id = {name: label for label, name in enumerate(classes)}
    with replacing_folder(folder) as part, quietly():
        theirs.save_pretrained(part)
        if images := _images(cfg.get("data_preprocessor") or {}):
            (part / "preprocessor_config.json").write_text(json.dumps(images, indent=2) + "\n")
    return type(theirs).__name__


def _model_config(content: object, name: str) -> Config:
    """Return the model of the config in a checkpoint, which only describes such a model."""
    text = meta_of(content).get("cfg")
    if not isinstance(text, str):
        raise ValueError(f"{name} holds no config, as the checkpoints of a training do")
    model = parse_plain_config(text, f"the config in {name}").get("model")
    if not isinstance(model, dict) or model.get("type") not in SCOPES:
        kind = model.get("type") if isinstance(model, dict) else None
        raise ValueError(
            f"{name} holds a {kind or 'model without a type'}: only a {' or '.join(SCOPES)} "
            "can be written as a folder of transformers"
        )
    cfg = Config(model)
    if cfg.backbone.get("type") != "ConvNeXt":
        raise ValueError(f"transformers has no {cfg.backbone.get('type')}, the backbone of {name}")
    cfg.backbone.pop("init_cfg", None)
    cfg.head.pop("init_cfg", None)
    return cfg


def _images(preprocessor: Mapping) -> dict[str, object]:
    """Return mean and deviation of the images as transformers' image processors read them."""
    mean, std = preprocessor.get("mean"), preprocessor.get("std")
    if not (mean and std):
        return {}
    return dict(
        do_rescale=True,
        do_normalize=True,
        image_mean=[value / 255 for value in mean],
        image_std=[value / 255 for value in std],
    )
