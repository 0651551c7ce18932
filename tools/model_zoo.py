"""Write docs/model_zoo.md from the published table and the recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config

from convnext_dense.cli.errors import add_debug_option, run_tool
from convnext_dense.files import write_whole
from convnext_dense.zoo.results import METRIC_TITLES, PEERS, PUBLISHED, Peer, Published


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
    lines = [
        "# Model zoo",
        "",
        "Written by `python tools/model_zoo.py` from `convnext_dense/zoo/` and the recipes; a "
        "test compares the two.",
        "",
        "**How to read the tables.** Every figure is the one that the authors published, not one "
        "that was trained here. Parameters and FLOPs are also recomputed: `tools/flops.py CONFIG` "
        "gives them, and a test compares them.",
        "",
        "## COCO val2017, 36 epochs, batch 16",
        "",
        *_table([row for row in PUBLISHED if row.is_detector], configs),
        "",
        "## ADE20K validation, 160,000 iterations, batch 16",
        "",
        *_table([row for row in PUBLISHED if not row.is_detector], configs),
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
        "[weights.md](weights.md#published-weights) lists all published weights that `--weights` "
        "takes by name, with what they were trained on and their licences.",
        "",
    ]
    return "\n".join(lines)


def _table(rows: list[Published], configs: Path) -> list[str]:
    from convnext_dense.config.steps.weights import initial_weights  # imports torch

    metrics = list(rows[0].metrics)
    titles = ["recipe", "weights", *(METRIC_TITLES[name] for name in metrics)]
    titles += ["params (M)", "FLOPs (G)", "fine-tuned file"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        weights = initial_weights(Config.fromfile(configs / f"{row.config}.py"))
        cells = [
            f"[{row.name}](../configs/{row.config}.py)",
            f"{row.pretrained}: {weights}" if weights else row.pretrained,
            *(row.metrics.get(name, "") for name in metrics),
            row.params or "",
            row.flops or "",
            f"[{Path(row.checkpoint).name}]({row.checkpoint})" if row.checkpoint else "",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _peer_row(peer: Peer) -> str:
    cells = [
        f"[{peer.name}](../configs/{peer.config}.py)",
        *(peer.metrics.get(name, "") for name in ("coco/bbox_mAP", "coco/segm_mAP")),
        f"{peer.params / 1e6:.1f}"
        + (f" ({peer.published_params})" if peer.published_params else ""),
        f"{peer.flops}" + (f" ({peer.published_flops})" if peer.published_flops else ""),
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(run_tool(main))
