"""The published results, one row per recipe, and the published weights of the backbone.

Sources: facebookresearch/ConvNeXt, ``README.md``, ``object_detection/README.md`` and
``semantic_segmentation/README.md``; arXiv 2201.03545, tables 3 and 4; facebookresearch/ConvNeXt-V2,
``README.md``; timm's ``convnext.py`` for atto to nano without GRN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convnext_dense.backbone.archs import ARCHS, Arch

OFFICIAL = "https://dl.fbaipublicfiles.com/convnext/"
OFFICIAL_V2 = f"{OFFICIAL}convnextv2/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/"


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


@dataclass(frozen=True)
class Peer:
    """Another backbone under the heads, data and schedule of a recipe of ConvNeXt-T.

    Attributes:
        config: Path of the recipe below ``configs``, without ``.py``.
        name: What the row is called.
        params: Parameters, counted here.
        flops: Multiply-adds in billions, counted here, with those of attention.
        published_params: In millions, as the papers print them; None where no paper has the row.
        published_flops: In billions, likewise.
        metrics: Published figures in percent, as in :class:`Published`.
    """

    config: str
    name: str
    params: int
    flops: float
    published_params: int | None = None
    published_flops: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def _box_and_mask(box: float, mask: float) -> dict[str, float]:
    return {"coco/bbox_mAP": box, "coco/segm_mAP": mask}


# Figures as ConvNeXt's paper prints them for comparison (tables 3 and 4).
PEERS: tuple[Peer, ...] = (
    Peer("det/mask_rcnn_swin_t_coco", "Mask R-CNN Swin-T", 47_794_602, 266.5,
         48, 267, _box_and_mask(46.0, 41.6)),
    Peer("det/mask_rcnn_r50_coco", "Mask R-CNN ResNet-50", 44_396_336, 259.3),
    Peer("det/cascade_swin_t_coco", "Cascade Mask R-CNN Swin-T", 85_629_804, 744.8,
         86, 745, _box_and_mask(50.4, 43.7)),
    Peer("det/cascade_r50_coco", "Cascade Mask R-CNN ResNet-50", 82_231_538, 737.6,
         82, 739, _box_and_mask(46.3, 40.1)),
    Peer("seg/upernet_swin_t_ade20k", "UperNet Swin-T", 59_941_862, 944.4, 60, 945),
    Peer("seg/upernet_r50_ade20k", "UperNet ResNet-50", 66_516_108, 951.3),
)  # fmt: skip

# By the data that the weights saw: `fcmae` is V2's pre-training without labels. V2's files of
# ImageNet-22k were fine-tuned on ImageNet-1k at last. Meta has no V1 below tiny, timm has.
WEIGHTS: dict[str, dict[str, str]] = {
    "imagenet1k": {
        "atto": f"{TIMM}convnext_atto_d2-01bb0f51.pth",
        "femto": f"{TIMM}convnext_femto_d1-d71d5b4c.pth",
        "pico": f"{TIMM}convnext_pico_d1-10ad7f0d.pth",
        "nano": f"{TIMM}convnext_nano_d1h-7eb4bdea.pth",
        "tiny": f"{OFFICIAL}convnext_tiny_1k_224.pth",
        "small": f"{OFFICIAL}convnext_small_1k_224.pth",
        "base": f"{OFFICIAL}convnext_base_1k_224.pth",
        "large": f"{OFFICIAL}convnext_large_1k_224_ema.pth",
        **{
            f"v2_{size}": f"{OFFICIAL_V2}im1k/convnextv2_{size}_1k_224_ema.pt"
            for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
        },
    },
    "imagenet22k": {
        **{
            size: f"{OFFICIAL}convnext_{size}_22k_224.pth"
            for size in ("tiny", "small", "base", "large", "xlarge")
        },
        **{
            f"v2_{size}": f"{OFFICIAL_V2}im22k/convnextv2_{size}_22k_224_ema.pt"
            for size in ("nano", "tiny", "base", "large")
        },
        "v2_huge": f"{OFFICIAL_V2}im22k/convnextv2_huge_22k_384_ema.pt",
    },
    "fcmae": {
        f"v2_{size}": f"{OFFICIAL_V2}pt_only/convnextv2_{size}_1k_224_fcmae.pt"
        for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
    },
}


def published_weights(arch: str | Arch, name: str) -> str:
    """Return the URL of the published weights of a backbone.

    Args:
        arch: A name in :data:`convnext_dense.backbone.ARCHS`, or the architecture itself.
        name: ``imagenet1k``, ``imagenet22k`` or ``fcmae``.

    Raises:
        ValueError: Where there are no such weights; the message lists what exists.

    Example:
        >>> published_weights("tiny", "imagenet1k")
        'https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth'
    """
    if name not in WEIGHTS:
        raise ValueError(f"there are no weights {name!r}, choose one of {', '.join(WEIGHTS)}")
    if isinstance(arch, Arch):
        arch = next((known for known, value in ARCHS.items() if value == arch), arch)
    if arch in WEIGHTS[name]:
        return WEIGHTS[name][arch]
    existing = [data for data in WEIGHTS if arch in WEIGHTS[data]]
    raise ValueError(
        f"there are no published weights {name!r} for arch {arch!r}: "
        + (f"it has {', '.join(existing)}" if existing else "no published file fits this arch")
        + f", and {name!r} exists for {', '.join(WEIGHTS[name])}"
    )


def published_model(config: str | Path) -> str:
    """Return the URL of the fine-tuned model that was published for a recipe.

    Args:
        config: Path of the recipe, such as ``configs/det/cascade_convnext_t_coco.py``.

    Raises:
        ValueError: Where it is not one of the published recipes; the message lists them.
    """
    models = {Path(row.config).name: row.checkpoint for row in PUBLISHED}
    if Path(config).stem not in models:
        raise ValueError(
            f"there is no published model of {Path(config).name}, only of {', '.join(models)}"
        )
    return models[Path(config).stem]


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
        "## Other backbones under the same heads, data and schedule",
        "",
        "Swin-T and ResNet-50 of mmdet and mmseg, for comparison. Parameters and FLOPs are counted "
        "here (those of attention included), with the published ones in brackets; no paper has the "
        "rows without them. None was trained here.",
        "",
        "| recipe | box AP | mask AP | params (M) | FLOPs (G) |",
        "|---|---|---|---|---|",
        *map(_peer_row, PEERS),
        "",
        "The weights come under the licence of facebookresearch/ConvNeXt, not under that of this "
        "project.",
        "",
        "## Weights of the backbone",
        "",
        "The name of a column, such as `imagenet1k`, in the place of a file's takes those of the "
        "config's arch; [weights.md](weights.md) says how, and what else loads. Those of V2 are "
        "CC BY-NC 4.0, those of V1 atto to nano are timm's.",
        "",
        f"| arch | {' | '.join(WEIGHTS)} |",
        "|---" * (1 + len(WEIGHTS)) + "|",
        *(_weights_row(arch) for arch in ARCHS),
        "",
    ]
    return "\n".join(lines)


def _peer_row(peer: Peer) -> str:
    cells = [
        f"[{peer.name}](../configs/{peer.config}.py)",
        *(peer.metrics.get(name, "") for name in ("coco/bbox_mAP", "coco/segm_mAP")),
        f"{peer.params / 1e6:.1f}"
        + (f" ({peer.published_params})" if peer.published_params else ""),
        f"{peer.flops}" + (f" ({peer.published_flops})" if peer.published_flops else ""),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _weights_row(arch: str) -> str:
    urls = [files.get(arch) for files in WEIGHTS.values()]
    links = [f"[{Path(url).name}]({url})" if url else "" for url in urls]
    return f"| {arch} | {' | '.join(links)} |"
