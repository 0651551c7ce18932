"""The published results, one row per recipe: the only place that holds these numbers.

Sources: facebookresearch/ConvNeXt, ``object_detection/README.md`` and
``semantic_segmentation/README.md``; arXiv 2201.03545, tables 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OFFICIAL = "https://dl.fbaipublicfiles.com/convnext/"


@dataclass(frozen=True)
class Published:
    """One published row.

    Attributes:
        config: Path of the recipe below ``configs``, without ``.py``.
        name: What the row is called.
        pretrained: Data that the backbone's weights come from, ``IN-1K`` or ``IN-22K``.
        checkpoint: URL of the published fine-tuned model.
        params: Parameters in millions, as printed.
        flops: Multiply-adds in billions, as printed (see :mod:`convnext_dense.analysis.flops`).
        metrics: Figures by the name that the evaluation gives them, in percent.
    """

    config: str
    name: str
    pretrained: str
    checkpoint: str
    params: int
    flops: int
    metrics: dict[str, float]

    @property
    def is_detector(self) -> bool:
        """Whether the row is one of COCO, not of ADE20K."""
        return self.config.startswith("det/")


def _coco(
    config: str,
    name: str,
    pretrained: str,
    file: str,
    params: int,
    flops: int,
    box: float,
    mask: float,
) -> Published:
    metrics = {"coco/bbox_mAP": box, "coco/segm_mAP": mask}
    return Published(
        f"det/{config}", name, pretrained, f"{OFFICIAL}coco/{file}_3x.pth", params, flops, metrics
    )


def _ade20k(
    config: str,
    name: str,
    pretrained: str,
    file: str,
    params: int,
    flops: int,
    single: float,
    multi: float,
) -> Published:
    metrics = {"mIoU": single, "mIoU (ms+flip)": multi}
    return Published(
        f"seg/{config}", name, pretrained, f"{OFFICIAL}ade20k/{file}.pth", params, flops, metrics
    )


METRIC_TITLES = {
    "coco/bbox_mAP": "box AP",
    "coco/segm_mAP": "mask AP",
    "mIoU": "mIoU",
    "mIoU (ms+flip)": "mIoU, multi-scale and flip",
}

# fmt: off
PUBLISHED: tuple[Published, ...] = (
    _coco("mask_rcnn_convnext_t_coco", "Mask R-CNN ConvNeXt-T", "IN-1K",
          "mask_rcnn_convnext_tiny_1k", 48, 262, 46.2, 41.7),
    _coco("cascade_convnext_t_coco", "Cascade Mask R-CNN ConvNeXt-T", "IN-1K",
          "cascade_mask_rcnn_convnext_tiny_1k", 86, 741, 50.4, 43.7),
    _coco("cascade_convnext_s_coco", "Cascade Mask R-CNN ConvNeXt-S", "IN-1K",
          "cascade_mask_rcnn_convnext_small_1k", 108, 827, 51.9, 45.0),
    _coco("cascade_convnext_b_coco", "Cascade Mask R-CNN ConvNeXt-B", "IN-1K",
          "cascade_mask_rcnn_convnext_base_1k", 146, 964, 52.7, 45.6),
    _coco("cascade_convnext_b_in22k_coco", "Cascade Mask R-CNN ConvNeXt-B", "IN-22K",
          "cascade_mask_rcnn_convnext_base_22k", 146, 964, 54.0, 46.9),
    _coco("cascade_convnext_l_in22k_coco", "Cascade Mask R-CNN ConvNeXt-L", "IN-22K",
          "cascade_mask_rcnn_convnext_large_22k", 255, 1354, 54.8, 47.6),
    _coco("cascade_convnext_xl_in22k_coco", "Cascade Mask R-CNN ConvNeXt-XL", "IN-22K",
          "cascade_mask_rcnn_convnext_xlarge_22k", 407, 1898, 55.2, 47.7),
    _ade20k("upernet_convnext_t_ade20k", "UperNet ConvNeXt-T", "IN-1K",
            "upernet_convnext_tiny_1k_512x512", 60, 939, 46.0, 46.7),
    _ade20k("upernet_convnext_s_ade20k", "UperNet ConvNeXt-S", "IN-1K",
            "upernet_convnext_small_1k_512x512", 82, 1027, 48.7, 49.6),
    _ade20k("upernet_convnext_b_ade20k", "UperNet ConvNeXt-B", "IN-1K",
            "upernet_convnext_base_1k_512x512", 122, 1170, 49.1, 49.9),
    _ade20k("upernet_convnext_b_in22k_ade20k", "UperNet ConvNeXt-B", "IN-22K",
            "upernet_convnext_base_22k_640x640", 122, 1828, 52.6, 53.1),
    _ade20k("upernet_convnext_l_in22k_ade20k", "UperNet ConvNeXt-L", "IN-22K",
            "upernet_convnext_large_22k_640x640", 235, 2458, 53.2, 53.7),
    _ade20k("upernet_convnext_xl_in22k_ade20k", "UperNet ConvNeXt-XL", "IN-22K",
            "upernet_convnext_xlarge_22k_640x640", 391, 3335, 53.6, 54.0),
)
# fmt: on


def render_model_zoo(configs: Path) -> str:
    """Write the page of the model zoo from this table and the recipes.

    Args:
        configs: The folder ``configs`` of the repository.

    Returns:
        Markdown.
    """
    from mmengine.config import Config

    def table(rows: list[Published]) -> list[str]:
        metrics = [METRIC_TITLES[name] for name in rows[0].metrics]
        titles = [
            "recipe", "weights", "drop path", "lr", "decay", "precision", *metrics,
            "params (M)", "FLOPs (G)", "fine-tuned file",
        ]  # fmt: skip
        lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for row in rows:
            cfg = Config.fromfile(configs / f"{row.config}.py")
            wrapper, backbone = cfg.optim_wrapper, cfg.model.backbone
            cells = [
                f"[{row.name}](../configs/{row.config}.py)",
                f"[{row.pretrained}]({backbone.init_cfg.checkpoint})",
                backbone.drop_path_rate,
                f"{wrapper.optimizer.lr:g}",
                f"{wrapper.paramwise_cfg.decay_rate} {wrapper.paramwise_cfg.decay_type}",
                "fp16" if wrapper.type == "AmpOptimWrapper" else "fp32",
                *row.metrics.values(),
                row.params,
                row.flops,
                f"[{Path(row.checkpoint).name}]({row.checkpoint})",
            ]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        return lines

    lines = [
        "# Model zoo",
        "",
        "Written by `python tools/model_zoo.py` from `convnext_dense/zoo.py` and the recipes; a "
        "test compares the two.",
        "",
        "**How to read the tables.** Every figure is the one that the authors published, not one "
        "that was trained here. Parameters and FLOPs are also recomputed: `tools/flops.py CONFIG` "
        "gives them, and a test compares all thirteen rows.",
        "",
        "## COCO val2017, 36 epochs, batch 16",
        "",
        *table([row for row in PUBLISHED if row.is_detector]),
        "",
        "## ADE20K validation, 160,000 iterations, batch 16",
        "",
        *table([row for row in PUBLISHED if not row.is_detector]),
        "",
        "The weights come under the licence of facebookresearch/ConvNeXt, not under that of this "
        "project.",
        "",
    ]
    return "\n".join(lines)
