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
from convnext_dense.zoo.results import PEERS, PUBLISHED, Peer, Published
from convnext_dense.zoo.sizes import SIZES

Row = Published | Peer

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


def _metrics(row: Row) -> str:
    values = {name: str(value) for name, value in row.metrics.items()}
    several = values.pop("mIoU (ms+flip)", None)
    text = " / ".join(values.values())
    return f"{text} ({several})".strip() if several else text


def _size(row: Published) -> str:
    params, flops = SIZES[row.config]
    return f"{row.params or round(params)}M {row.flops or round(flops)}G"


def _peer_cells(peer: Peer) -> list[str]:
    size = f"{peer.params / 1e6:.1f}M {peer.flops}G"
    if peer.published_params:
        size += f" ({peer.published_params}M {peer.published_flops}G)"
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


def _link(row: Row, text: str) -> str:
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
