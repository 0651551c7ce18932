"""The recipes, one row each, with the results that were published for them.

Sources of the first rows: facebookresearch/ConvNeXt, ``object_detection/README.md`` and
``semantic_segmentation/README.md``; arXiv 2201.03545, tables 3 and 4. Other rows name theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from convnext_dense.zoo.weights import OFFICIAL


@dataclass(frozen=True)
class Published:
    """A recipe and its published results, or the absence of any.

    Attributes:
        config: Path of the recipe in ``configs``, without ``.py``.
        head: Name of the detector or segmenter, such as ``Mask R-CNN``.
        backbone: Name of the backbone, such as ``ConvNeXt-T``.
        pretrained: What the backbone was pretrained with, such as ``IN-1K``.
        source: Where the figures are printed; empty if none were published.
        metrics: Figures in percent, by their names in the evaluation; empty if none were published.
        checkpoint: URL of the fine-tuned model, or None.
        params: Parameters in millions, as printed, or None.
        flops: Multiply-adds in billions, as printed (see :mod:`convnext_dense.analysis.flops`), or
            None.
        left_open: What the authors do not say, and what the recipe takes.
    """

    config: str
    head: str
    backbone: str
    pretrained: str
    source: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    params: int | None = None
    flops: int | None = None
    left_open: str = ""

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"{self.head} {self.backbone}"

    @property
    def is_detector(self) -> bool:
        """Whether the recipe is for COCO, not for ADE20K."""
        return self.config.startswith("det/")


METRIC_TITLES = {
    "coco/bbox_mAP": "box AP",
    "coco/segm_mAP": "mask AP",
    "mIoU": "mIoU",
    "mIoU (ms+flip)": "mIoU, multi-scale and flip",
}


def box_and_mask(box: float, mask: float) -> dict[str, float]:
    """Return the metrics of a detector with masks, in percent."""
    return {"coco/bbox_mAP": box, "coco/segm_mAP": mask}


def miou(single_scale: float, multi_scale: float) -> dict[str, float]:
    """Return the metrics of a segmenter, tested at one scale, and at several and flipped."""
    return {"mIoU": single_scale, "mIoU (ms+flip)": multi_scale}


def _multi_scale(miou: float) -> dict[str, float]:
    return {"mIoU (ms+flip)": miou}


CONVNEXT = "arXiv 2201.03545, tables 3 and 4"
CONVNEXT_V2 = "arXiv 2301.00808, tables 6 and 7"
DINOV3 = "facebookresearch/dinov3, MODEL_CARD.md"
SWIN = "SwinTransformer/Swin-Transformer-Semantic-Segmentation, README.md"
DETREX = "IDEA-Research/detrex, projects/dino, whose models have detectron2's layout"

# What the authors do not say, and what the recipes take.
V2_COCO = (
    "drop path and layer decay (0.35 and 0.925, the middle of what was searched), precision (mixed "
    "for B, float32 for L and H), the short side in the test (800)"
)
V2_ADE20K = (
    "learning rate, layer decay and drop path (2e-4, 0.85 and 0.25, the middle of what was "
    "searched), precision (mixed for B, float32 for L and H), whether the multi-scale test flips "
    "(it does)"
)
DINOV3_LINEAR = (
    "the settings of these figures (those of the authors' file for ADE20K), whether the maps of "
    "stride 32 are made larger, as their ConvNeXt can (they are not)"
)
DETREX_DINO = "the files of weights (Meta's at 224 pixels for IN-1K, at 384 for IN-22K)"


def _of_meta(
    config: str,
    head: str,
    backbone: str,
    pretrained: str,
    file: str,
    params: int,
    flops: int,
    figures: dict[str, float],
) -> Published:
    folder = f"coco/{file}_3x" if config.startswith("det/") else f"ade20k/{file}"
    url = f"{OFFICIAL}{folder}.pth"
    return Published(config, head, backbone, pretrained, CONVNEXT, figures, url, params, flops)


def _v2(
    config: str,
    size: str,
    figures: dict[str, float],
    pretrained: str = "FCMAE, IN-1K",
    *,
    params: int | None = None,
    flops: int,
) -> Published:
    head, left_open = ("Mask R-CNN", V2_COCO) if "det/" in config else ("UperNet", V2_ADE20K)
    return Published(
        config,
        head,
        f"ConvNeXt V2-{size}",
        pretrained,
        CONVNEXT_V2,
        figures,
        params=params,
        flops=flops,
        left_open=left_open,
    )


def _dino(config: str, size: str, pretrained: str, box: float) -> Published:
    return Published(
        config,
        "DINO",
        f"ConvNeXt-{size}",
        pretrained,
        DETREX,
        {"coco/bbox_mAP": box},
        left_open=DETREX_DINO,
    )


def _dinov3(config: str, head: str, size: str) -> Published:
    """Return a row without figures; the authors print none beside those of the linear head."""
    return Published(config, head, f"ConvNeXt-{size}", "DINOv3")


def _linear(size: str, miou: float) -> Published:
    return Published(
        f"seg/linear_dinov3_convnext_{size}_ade20k",
        "Linear head",
        f"ConvNeXt-{size.upper()}, frozen",
        "DINOv3",
        DINOV3,
        {"mIoU": miou},
        left_open=DINOV3_LINEAR,
    )


# fmt: off
PUBLISHED: tuple[Published, ...] = (
    _of_meta("det/mask_rcnn_convnext_t_coco", "Mask R-CNN", "ConvNeXt-T", "IN-1K",
             "mask_rcnn_convnext_tiny_1k", 48, 262, box_and_mask(46.2, 41.7)),
    _of_meta("det/cascade_convnext_t_coco", "Cascade Mask R-CNN", "ConvNeXt-T", "IN-1K",
             "cascade_mask_rcnn_convnext_tiny_1k", 86, 741, box_and_mask(50.4, 43.7)),
    _of_meta("det/cascade_convnext_s_coco", "Cascade Mask R-CNN", "ConvNeXt-S", "IN-1K",
             "cascade_mask_rcnn_convnext_small_1k", 108, 827, box_and_mask(51.9, 45.0)),
    _of_meta("det/cascade_convnext_b_coco", "Cascade Mask R-CNN", "ConvNeXt-B", "IN-1K",
             "cascade_mask_rcnn_convnext_base_1k", 146, 964, box_and_mask(52.7, 45.6)),
    _of_meta("det/cascade_convnext_b_in22k_coco", "Cascade Mask R-CNN", "ConvNeXt-B", "IN-22K",
             "cascade_mask_rcnn_convnext_base_22k", 146, 964, box_and_mask(54.0, 46.9)),
    _of_meta("det/cascade_convnext_l_in22k_coco", "Cascade Mask R-CNN", "ConvNeXt-L", "IN-22K",
             "cascade_mask_rcnn_convnext_large_22k", 255, 1354, box_and_mask(54.8, 47.6)),
    _of_meta("det/cascade_convnext_xl_in22k_coco", "Cascade Mask R-CNN", "ConvNeXt-XL", "IN-22K",
             "cascade_mask_rcnn_convnext_xlarge_22k", 407, 1898, box_and_mask(55.2, 47.7)),
    _v2("det/mask_rcnn_convnext_v2_b_coco", "B", box_and_mask(52.9, 46.6), flops=486),
    _v2("det/mask_rcnn_convnext_v2_l_coco", "L", box_and_mask(54.4, 47.7), flops=875),
    _v2("det/mask_rcnn_convnext_v2_h_coco", "H", box_and_mask(55.7, 48.9), flops=2525),
    _dino("det/dino_convnext_t_coco", "T", "IN-1K", 51.4),
    _dino("det/dino_convnext_s_coco", "S", "IN-1K", 52.0),
    _dino("det/dino_convnext_b_coco", "B", "IN-1K", 52.6),
    _dino("det/dino_convnext_l_coco", "L", "IN-1K", 53.4),
    _dino("det/dino_convnext_t_in22k_coco", "T", "IN-22K", 52.4),
    _dino("det/dino_convnext_s_in22k_coco", "S", "IN-22K", 54.2),
    _dino("det/dino_convnext_b_in22k_coco", "B", "IN-22K", 55.1),
    _dino("det/dino_convnext_l_in22k_coco", "L", "IN-22K", 55.5),
    Published("det/rtmdet_convnext_b_in22k_coco", "RTMDet-l", "ConvNeXt-B", "IN-22K",
              "open-mmlab/mmdetection, configs/rtmdet", {"coco/bbox_mAP": 53.1},
              "https://github.com/orange0-jp/orange-weights/releases/download/"
              "v0.1.0rtmdet-swin-convnext/rtmdet_l_convnext_b_4xb32-100e_coco-d4731b3d.pth"),
    _dinov3("det/mask_rcnn_dinov3_convnext_t_coco", "Mask R-CNN", "T"),
    _dinov3("det/mask_rcnn_dinov3_convnext_t_frozen_coco", "Mask R-CNN", "T, frozen"),
    _dinov3("det/dino_dinov3_convnext_t_coco", "DINO", "T"),
    _dinov3("det/dino_dinov3_convnext_t_frozen_coco", "DINO", "T, frozen"),
    _dinov3("det/dino_dinov3_convnext_l_coco", "DINO", "L"),
    _dinov3("det/dino_dinov3_convnext_l_frozen_coco", "DINO", "L, frozen"),
    *(Published(f"det/mask2former_convnext_{size.lower()}_coco", "Mask2Former", f"ConvNeXt-{size}",
                "IN-1K") for size in "TBL"),
    Published("det/hf_mask2former_convnext_t_coco", "Mask2Former (transformers)", "ConvNeXt-T",
              "IN-1K"),
    *(Published(f"det/rtdetrv2_convnext_{size.lower()}{data}_coco", "RT-DETRv2 (transformers)",
                f"ConvNeXt-{size}", weights)
      for data, weights in (("", "DINOv3"), ("_in22k", "IN-22K")) for size in "TSBL"),
    *(Published(f"det/dfine_convnext_{size.lower()}_coco", "D-FINE (transformers)",
                f"ConvNeXt-{size}", "DINOv3") for size in "TSB"),
    _of_meta("seg/upernet_convnext_t_ade20k", "UperNet", "ConvNeXt-T", "IN-1K",
             "upernet_convnext_tiny_1k_512x512", 60, 939, miou(46.0, 46.7)),
    _of_meta("seg/upernet_convnext_s_ade20k", "UperNet", "ConvNeXt-S", "IN-1K",
             "upernet_convnext_small_1k_512x512", 82, 1027, miou(48.7, 49.6)),
    _of_meta("seg/upernet_convnext_b_ade20k", "UperNet", "ConvNeXt-B", "IN-1K",
             "upernet_convnext_base_1k_512x512", 122, 1170, miou(49.1, 49.9)),
    _of_meta("seg/upernet_convnext_b_in22k_ade20k", "UperNet", "ConvNeXt-B", "IN-22K",
             "upernet_convnext_base_22k_640x640", 122, 1828, miou(52.6, 53.1)),
    _of_meta("seg/upernet_convnext_l_in22k_ade20k", "UperNet", "ConvNeXt-L", "IN-22K",
             "upernet_convnext_large_22k_640x640", 235, 2458, miou(53.2, 53.7)),
    _of_meta("seg/upernet_convnext_xl_in22k_ade20k", "UperNet", "ConvNeXt-XL", "IN-22K",
             "upernet_convnext_xlarge_22k_640x640", 391, 3335, miou(53.6, 54.0)),
    _v2("seg/upernet_convnext_v2_b_ade20k", "B", _multi_scale(52.1), params=122, flops=1170),
    _v2("seg/upernet_convnext_v2_l_ade20k", "L", _multi_scale(53.7), params=235, flops=1573),
    _v2("seg/upernet_convnext_v2_h_ade20k", "H", _multi_scale(55.0), params=707, flops=3272),
    _v2("seg/upernet_convnext_v2_h_in22k_ade20k", "H", _multi_scale(57.0), "FCMAE, IN-22K",
        params=707, flops=5113),
    _linear("t", 42.7),
    _linear("s", 44.8),
    _linear("b", 46.3),
    _linear("l", 47.8),
    _dinov3("seg/upernet_dinov3_convnext_t_ade20k", "UperNet", "T"),
    _dinov3("seg/upernet_dinov3_convnext_t_frozen_ade20k", "UperNet", "T, frozen"),
    _dinov3("seg/upernet_dinov3_convnext_b_ade20k", "UperNet", "B"),
    _dinov3("seg/upernet_dinov3_convnext_b_frozen_ade20k", "UperNet", "B, frozen"),
    *(Published(f"seg/mask2former_convnext_{size.lower()}_ade20k", "Mask2Former",
                f"ConvNeXt-{size}", "IN-1K") for size in "TBL"),
    Published("seg/hf_mask2former_convnext_t_ade20k", "Mask2Former (transformers)", "ConvNeXt-T",
              "IN-1K"),
    Published("seg/hf_upernet_convnext_t_ade20k", "UperNet (transformers)", "ConvNeXt-T", "IN-1K"),
)
# Other backbones with the heads, data and schedule of a recipe of ConvNeXt-T.
PEERS: tuple[Published, ...] = (
    Published("det/mask_rcnn_swin_t_coco", "Mask R-CNN", "Swin-T", "IN-1K", CONVNEXT,
              box_and_mask(46.0, 41.6), params=48, flops=267),
    Published("det/mask_rcnn_r50_coco", "Mask R-CNN", "ResNet-50", "IN-1K"),
    Published("det/cascade_swin_t_coco", "Cascade Mask R-CNN", "Swin-T", "IN-1K", CONVNEXT,
              box_and_mask(50.4, 43.7), params=86, flops=745),
    Published("det/cascade_r50_coco", "Cascade Mask R-CNN", "ResNet-50", "IN-1K", CONVNEXT,
              box_and_mask(46.3, 40.1), params=82, flops=739),
    Published("seg/upernet_swin_t_ade20k", "UperNet", "Swin-T", "IN-1K", SWIN,
              miou(44.5, 45.8), params=60, flops=945),
    Published("seg/upernet_r50_ade20k", "UperNet", "ResNet-50", "IN-1K"),
)
# fmt: on
