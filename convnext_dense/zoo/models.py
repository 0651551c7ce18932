"""The fine-tuned models of the recipes, and where they are.

Sources of OpenMMLab's: the lists of models in mmdetection, ``configs/convnext`` and
``configs/rtmdet``, and in mmsegmentation, ``configs/convnext``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convnext_dense.zoo.results import PUBLISHED, Published, box_and_mask, miou

FILES = "https://download.openmmlab.com/"


def _of_openmmlab(config: str, folder: str, stamp: str, figures: dict[str, float]) -> Published:
    """Return a row of a recipe whose file has the name of its folder, a date and a hash."""
    row = next(row for row in PUBLISHED if row.config == config)
    project, versions = ("mmdetection", "v2.0") if row.is_detector else ("mmsegmentation", "v0.5")
    return replace(
        row,
        source=f"open-mmlab/{project}, configs/convnext",
        checkpoint=f"{FILES}{project}/{versions}/convnext/{folder}/{folder}_{stamp}.pth",
        metrics=figures,
    )


# The same recipes as OpenMMLab trained them, in mmpretrain's layout.
# fmt: off
OPENMMLAB: tuple[Published, ...] = (
    _of_openmmlab(
        "det/mask_rcnn_convnext_t_coco",
        "mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco",
        "20220426_154953-050731f4", box_and_mask(46.2, 41.7)),
    _of_openmmlab(
        "det/cascade_convnext_t_coco",
        "cascade_mask_rcnn_convnext-t_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco",
        "20220509_204200-8f07c40b", box_and_mask(50.3, 43.6)),
    _of_openmmlab(
        "det/cascade_convnext_s_coco",
        "cascade_mask_rcnn_convnext-s_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco",
        "20220510_201004-3d24f5a4", box_and_mask(51.8, 44.8)),
    next(row for row in PUBLISHED if row.head == "RTMDet-l"),
    _of_openmmlab(
        "seg/upernet_convnext_t_ade20k",
        "upernet_convnext_tiny_fp16_512x512_160k_ade20k",
        "20220227_124553-cad485de", miou(46.11, 46.62)),
    _of_openmmlab(
        "seg/upernet_convnext_s_ade20k",
        "upernet_convnext_small_fp16_512x512_160k_ade20k",
        "20220227_131208-1b1e394f", miou(48.56, 49.02)),
    _of_openmmlab(
        "seg/upernet_convnext_b_ade20k",
        "upernet_convnext_base_fp16_512x512_160k_ade20k",
        "20220227_181227-02a24fc6", miou(48.71, 49.54)),
    _of_openmmlab(
        "seg/upernet_convnext_b_in22k_ade20k",
        "upernet_convnext_base_fp16_640x640_160k_ade20k",
        "20220227_182859-9280e39b", miou(52.13, 52.66)),
    _of_openmmlab(
        "seg/upernet_convnext_l_in22k_ade20k",
        "upernet_convnext_large_fp16_640x640_160k_ade20k",
        "20220226_040532-e57aa54d", miou(53.16, 53.38)),
    _of_openmmlab(
        "seg/upernet_convnext_xl_in22k_ade20k",
        "upernet_convnext_xlarge_fp16_640x640_160k_ade20k",
        "20220226_080344-95fc38c2", miou(53.58, 54.11)),
)
# fmt: on

# What stands for the file of a fine-tuned model, wherever one is asked for: the authors', or
# OpenMMLab's.
MODELS = {"published": PUBLISHED, "openmmlab": OPENMMLAB}


def locate_model(checkpoint: str, config: str | Path) -> str:
    """Return the path or URL of a trained model.

    Args:
        checkpoint: Path or URL, or a name in :data:`MODELS` for a fine-tuned model of the config.
        config: Path of the config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such fine-tuned model for the config.
    """
    if checkpoint in MODELS:
        return fine_tuned_model(config, checkpoint)
    if "://" not in checkpoint and not Path(checkpoint).is_file():
        if Path(checkpoint).is_dir():
            found = Path(checkpoint).iterdir()
            files = sorted(path.name for path in found if path.suffix in (".pth", ".safetensors"))
            named = f", such as {files[0]}" if files else ""
            raise FileNotFoundError(
                f"checkpoint {checkpoint} is a folder: name a file in it{named}"
            )
        names = "" if Path(checkpoint).suffix else f", nor is it one of {', '.join(MODELS)}"
        raise FileNotFoundError(f"there is no checkpoint {checkpoint!r}{names}")
    return checkpoint


def fine_tuned_model(config: str | Path, name: str) -> str:
    """Return the URL of a fine-tuned model of a recipe.

    Args:
        config: Path of the recipe, such as ``configs/det/cascade_convnext_t_coco.py``.
        name: A name in :data:`MODELS`.

    Raises:
        ValueError: If there is no such model; the message lists the recipes with one.
    """
    models = {Path(row.config).name: row.checkpoint for row in MODELS[name] if row.checkpoint}
    model = models.get(Path(config).stem)
    if model is None:
        raise ValueError(
            f"there is no {name} model for {Path(config).name}, only for {', '.join(models)}"
        )
    return model


def row_of_model(config: str | Path, checkpoint: str | None = None) -> Published | None:
    """Return the row that a recipe's model is compared with, or None if none has figures.

    Args:
        config: Path of the recipe.
        checkpoint: Path or URL of the model. A file of OpenMMLab, known by its name, is compared
            with OpenMMLab's figures, every other one with those of the authors.
    """
    file = Path(checkpoint).name if checkpoint else None
    rows = [row for row in OPENMMLAB if row.checkpoint and Path(row.checkpoint).name == file]
    found = (row for row in (*rows, *PUBLISHED) if Path(row.config).name == Path(config).stem)
    return next((row for row in found if row.metrics), None)
