"""Write docs/model_zoo.md from the tables of ``convnext_dense/zoo`` and the recipes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.config import Config

from convnext_dense.cli.errors import add_debug_option, run_tool
from convnext_dense.files import write_whole
from convnext_dense.zoo.licences import Licence, find_licence
from convnext_dense.zoo.models import OPENMMLAB
from convnext_dense.zoo.results import PEERS, PUBLISHED, Published

OPENING = """\
# Model zoo

Written by `python tools/model_zoo.py` from `convnext_dense/zoo/` and the recipes; a test compares
the two.

**How to read the tables.** A figure is the one that was published, in percent; none was trained
here. One with a link has a model to download: `tools/test.py RECIPE published` evaluates the
authors', `tools/test.py RECIPE openmmlab` that of OpenMMLab, and prints the published figure beside
what it finds. *None published* says that nobody has printed a figure for this recipe.

A size is parameters in millions and multiply-adds in billions, for one image of 1280x800 (COCO) or
2048x512 (ADE20K; 2560x640 at a crop of 640). It is the printed one, where there is one, and else
counted by `tools/flops.py RECIPE`; a test compares both.

By task: [detection](#detection-and-instance-segmentation-on-coco),
[segmentation](#semantic-segmentation-on-ade20k), each by head. [By size](#by-size).
[By licence](#by-licence). [Other backbones](#other-backbones).
[Weights of the backbone](weights.md#published-weights).
"""
COCO = "Box AP / mask AP on val2017; one number is box AP."
ADE20K = (
    "mIoU on the validation set at one scale, and in brackets at several scales and flipped, as "
    "`--tta` tests."
)
OTHERS = """\
Swin-T and ResNet-50 of mmdet and mmseg under the heads, data and schedule of ConvNeXt-T. Sizes are
counted here, those of attention included, with the published ones in brackets.
"""
LICENCES = """\
The licence is that of the weights from which a recipe starts, and so of what is trained from them.
`--weights` takes others, such as [MIT-licensed ones](weights.md#published-weights). The licence of
this project is another matter.
"""


# Parameters in millions and multiply-adds in billions of each recipe, as `tools/flops.py RECIPE`
# counts them.
SIZES: dict[str, tuple[float, float]] = {
    "det/mask_rcnn_convnext_t_coco": (48.10, 261.9),
    "det/cascade_convnext_t_coco": (85.93, 740.2),
    "det/cascade_convnext_s_coco": (107.57, 826.4),
    "det/cascade_convnext_b_coco": (145.80, 963.6),
    "det/cascade_convnext_b_in22k_coco": (145.80, 963.6),
    "det/cascade_convnext_l_in22k_coco": (254.71, 1353.4),
    "det/cascade_convnext_xl_in22k_coco": (406.88, 1897.4),
    "det/mask_rcnn_convnext_v2_b_coco": (108.09, 485.3),
    "det/mask_rcnn_convnext_v2_l_coco": (217.07, 875.2),
    "det/mask_rcnn_convnext_v2_h_coco": (678.73, 2524.1),
    "det/dino_convnext_t_coco": (48.49, 281.8),
    "det/dino_convnext_s_coco": (70.13, 368.1),
    "det/dino_convnext_b_coco": (108.94, 504.9),
    "det/dino_convnext_l_coco": (219.02, 894.0),
    "det/dino_convnext_t_in22k_coco": (48.49, 281.8),
    "det/dino_convnext_s_in22k_coco": (70.13, 368.1),
    "det/dino_convnext_b_in22k_coco": (108.94, 504.9),
    "det/dino_convnext_l_in22k_coco": (219.02, 894.0),
    "det/rtmdet_convnext_b_in22k_coco": (113.74, 427.9),
    "det/mask_rcnn_dinov3_convnext_t_coco": (48.10, 261.9),
    "det/mask_rcnn_dinov3_convnext_t_frozen_coco": (48.10, 261.9),
    "det/dino_dinov3_convnext_t_coco": (48.49, 281.8),
    "det/dino_dinov3_convnext_t_frozen_coco": (48.49, 281.8),
    "det/dino_dinov3_convnext_l_coco": (219.02, 894.0),
    "det/dino_dinov3_convnext_l_frozen_coco": (219.02, 894.0),
    "det/mask2former_convnext_t_coco": (47.72, 257.1),
    "det/mask2former_convnext_b_coco": (107.59, 480.5),
    "det/mask2former_convnext_l_coco": (216.50, 870.4),
    "det/hf_mask2former_convnext_t_coco": (47.72, 257.1),
    "det/rtdetrv2_convnext_t_coco": (46.67, 169.2),
    "det/rtdetrv2_convnext_s_coco": (68.30, 255.5),
    "det/rtdetrv2_convnext_b_coco": (106.53, 392.1),
    "det/rtdetrv2_convnext_l_coco": (215.42, 780.9),
    "det/rtdetrv2_convnext_t_in22k_coco": (46.67, 169.2),
    "det/rtdetrv2_convnext_s_in22k_coco": (68.30, 255.5),
    "det/rtdetrv2_convnext_b_in22k_coco": (106.53, 392.1),
    "det/rtdetrv2_convnext_l_in22k_coco": (215.42, 780.9),
    "det/dfine_convnext_t_coco": (44.98, 148.6),
    "det/dfine_convnext_s_coco": (66.62, 234.9),
    "det/dfine_convnext_b_coco": (104.85, 371.5),
    "seg/upernet_convnext_t_ade20k": (60.24, 938.5),
    "seg/upernet_convnext_s_ade20k": (81.88, 1026.8),
    "seg/upernet_convnext_b_ade20k": (122.10, 1169.3),
    "seg/upernet_convnext_b_in22k_ade20k": (122.10, 1827.1),
    "seg/upernet_convnext_l_in22k_ade20k": (234.99, 2457.4),
    "seg/upernet_convnext_xl_in22k_ade20k": (391.14, 3334.3),
    "seg/upernet_convnext_v2_b_ade20k": (122.23, 1169.3),
    "seg/upernet_convnext_v2_l_ade20k": (235.18, 1572.7),
    "seg/upernet_convnext_v2_h_ade20k": (706.81, 3271.7),
    "seg/upernet_convnext_v2_h_in22k_ade20k": (706.81, 5112.0),
    "seg/linear_dinov3_convnext_t_ade20k": (27.94, 93.2),
    "seg/linear_dinov3_convnext_s_ade20k": (49.57, 181.6),
    "seg/linear_dinov3_convnext_b_ade20k": (87.72, 321.0),
    "seg/linear_dinov3_convnext_l_ade20k": (196.46, 718.3),
    "seg/upernet_dinov3_convnext_t_ade20k": (60.24, 938.5),
    "seg/upernet_dinov3_convnext_t_frozen_ade20k": (60.24, 938.5),
    "seg/upernet_dinov3_convnext_b_ade20k": (122.10, 1169.3),
    "seg/upernet_dinov3_convnext_b_frozen_ade20k": (122.10, 1169.3),
    "seg/mask2former_convnext_t_ade20k": (47.74, 263.2),
    "seg/mask2former_convnext_b_ade20k": (107.61, 767.9),
    "seg/mask2former_convnext_l_ade20k": (216.52, 1391.7),
    "seg/hf_mask2former_convnext_t_ade20k": (47.74, 263.2),
    "seg/hf_upernet_convnext_t_ade20k": (60.24, 938.5),
    "det/mask_rcnn_swin_t_coco": (47.79, 266.5),
    "det/mask_rcnn_r50_coco": (44.40, 259.3),
    "det/cascade_swin_t_coco": (85.63, 744.8),
    "det/cascade_r50_coco": (82.23, 737.6),
    "seg/upernet_swin_t_ade20k": (59.94, 944.4),
    "seg/upernet_r50_ade20k": (66.52, 951.3),
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_debug_option(parser)
    parser.parse_args(argv)
    root = Path(__file__).parent.parent
    write_whole(root / "docs" / "model_zoo.md", render(root / "configs"))


def render(configs: Path) -> str:
    """Return the page of the model zoo as Markdown.

    Args:
        configs: The folder ``configs`` of the repository.
    """
    read = {row.config: Config.fromfile(configs / f"{row.config}.py") for row in PUBLISHED}
    detectors = [row for row in PUBLISHED if row.is_detector]
    segmenters = [row for row in PUBLISHED if not row.is_detector]
    parts = [
        OPENING,
        f"## Detection and instance segmentation on COCO\n\n{COCO}\n",
        *_by_head(detectors, read),
        f"## Semantic segmentation on ADE20K\n\n{ADE20K}\n",
        *_by_head(segmenters, read),
        f"## Other backbones\n\n{OTHERS}",
        _table(["recipe", "figures", "size"], map(_peer_cells, PEERS)),
        "## By size\n",
        f"### Detectors\n\n{_by_size(detectors)}",
        f"### Segmenters\n\n{_by_size(segmenters)}",
        f"## By licence\n\n{LICENCES}",
        *_by_licence(read),
    ]
    return "\n".join(parts)


def _by_head(rows: Sequence[Published], read: dict[str, Config]) -> Iterable[str]:
    for head in dict.fromkeys(row.head for row in rows):
        members = [row for row in rows if row.head == head]
        cells = [
            [_link(row, row.backbone), row.pretrained, _figures(row), _size(row)] for row in members
        ]
        yield f"### {head}\n"
        yield _by_text(members, [_length(read[row.config]) for row in members]) + "\n"
        yield _table(["recipe", "weights", "figures", "size"], cells)
        sources = dict.fromkeys(row.source for row in members if row.source)
        if sources:
            yield f"Source: {_anded(sources)}.\n"
        texts = [row.left_open for row in members]
        if any(texts):
            yield f"Left open by the authors, with what is taken here: {_by_text(members, texts)}\n"


def _length(cfg: Config) -> str:
    train = cfg.train_cfg
    steps = f"{train.max_epochs} epochs" if "max_epochs" in train else f"{train.max_iters:,} steps"
    return f"{steps}, batch {cfg.auto_scale_lr.base_batch_size}"


def _by_text(rows: Sequence[Published], texts: Sequence[str]) -> str:
    """Return each text once, with the backbones that it is about if it is not about all."""
    parts = []
    for text in filter(None, dict.fromkeys(texts)):
        about = [row.backbone for row, own in zip(rows, texts, strict=True) if own == text]
        parts.append(text if len(about) == len(rows) else f"{_anded(dict.fromkeys(about))}: {text}")
    return "; ".join(parts) + "."


def _figures(row: Published) -> str:
    """Return the figures of a row, with a link to its model, and those of OpenMMLab."""
    texts = [_linked(_metrics(row), row.checkpoint)] if row.metrics else ["*none published*"]
    for other in OPENMMLAB:
        if other.config == row.config and other.checkpoint != row.checkpoint:
            texts.append(f"{_linked(_metrics(other), other.checkpoint)} OpenMMLab")
    return "<br>".join(texts)


def _metrics(row: Published) -> str:
    values = {name: str(value) for name, value in row.metrics.items()}
    several = values.pop("mIoU (ms+flip)", None)
    text = " / ".join(values.values())
    return f"{text} ({several})".strip() if several else text


def _size(row: Published) -> str:
    params, flops = SIZES[row.config]
    return f"{row.params or round(params)}M {row.flops or round(flops)}G"


def _peer_cells(peer: Published) -> list[str]:
    params, flops = SIZES[peer.config]
    size = f"{params:.1f}M {flops}G"
    if peer.params:
        size += f" ({peer.params}M {peer.flops}G)"
    return [_link(peer, peer.name), _metrics(peer) or "*none published*", size]


def _by_size(rows: Sequence[Published]) -> str:
    ordered = sorted(rows, key=lambda row: SIZES[row.config])
    cells = [
        [_size(row), f"{_link(row, row.name)}, {row.pretrained}", _best(row)] for row in ordered
    ]
    return _table(["size", "recipe", "box AP" if rows[0].is_detector else "mIoU"], cells)


def _best(row: Published) -> str:
    """Return a row's figure at one scale, or else the one in brackets."""
    if not row.metrics:
        return ""
    name, value = next(iter(row.metrics.items()))
    return f"({value})" if "ms" in name else str(value)


def _by_licence(read: dict[str, Config]) -> Iterable[str]:
    recipes: dict[Licence, list[Published]] = {}
    for row in PUBLISHED:
        checkpoint = read[row.config].model.backbone.init_cfg.checkpoint
        licence = find_licence(checkpoint)
        assert licence is not None, f"{row.config} starts from {checkpoint}, of no known licence"
        recipes.setdefault(licence, []).append(row)
    for licence, rows in recipes.items():
        yield f"### {licence.name}\n"
        allowed = "Allows" if licence.commercial else "**Forbids**"
        yield f"{allowed} commercial use. [Its text]({licence.url}).\n"
        yield "".join(f"- {_link(row, row.name)}, {row.pretrained}\n" for row in rows)


def _link(row: Published, text: str) -> str:
    return f"[{text}](../configs/{row.config}.py)"


def _linked(text: str, address: str | None) -> str:
    return f"[{text}]({address})" if address else text


def _anded(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.exit(run_tool(main))
