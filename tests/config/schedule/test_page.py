"""The table in docs/schedules.md, filled in by scaling.

    WRITE_DOCS=1 python -m pytest tests/config/schedule/test_page.py

writes it anew; without the variable the test compares.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.schedule.length import read_length
from convnext_dense.config.schedule.schedulers import kind_of, schedulers
from convnext_dense.config.schedule.stages import hooks
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.read import read_given_config
from convnext_dense.config.steps.schedule import set_schedule

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "schedules.md"
BEGIN, END = "<!-- schedules: begin -->", "<!-- schedules: end -->"
SIZES = ("t", "s", "b", "b_in22k", "l_in22k", "xl_in22k")
CONFIGS = [
    "det/mask_rcnn_convnext_t_coco.py",
    *(f"det/cascade_convnext_{size}_coco.py" for size in SIZES),
    *(f"seg/upernet_convnext_{size}_ade20k.py" for size in SIZES),
    "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mmdet::detr/detr_r50_8xb2-150e_coco.py",
    "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py",
    "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
    "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py",
    "mmdet::ssd/ssd300_coco.py",
    "mmdet::solov2/solov2_r50_fpn_ms-3x_coco.py",
    "mmdet::atss/atss_r50_fpn_8xb8-amp-lsj-200e_coco.py",
    "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
    "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py",
]


def describe(cfg: Config) -> str:
    """Return one cell: the length, the schedulers, the validations and the switches."""
    length = read_length(cfg)
    parts = []
    for _, node in schedulers(cfg):
        unit = "" if node.get("by_epoch", True) == length.by_epoch else " it."
        if node.get("milestones"):
            parts.append(f"steps at {', '.join(map(str, node.milestones))}{unit}")
        elif kind_of(node) in ("Linear", "QuadraticWarmup") or node.get("factor", 1) < 1:
            parts.append(f"warm-up to {node.end}{unit}")
        elif kind_of(node) != "Constant":
            begin, end = node.get("begin", 0), node.get("end", length.steps)
            parts.append(f"{kind_of(node)} {begin} to {end}{unit}")
    parts.append(f"validation every {cfg.train_cfg.get('val_interval', 1)}")
    for milestone, interval in cfg.train_cfg.get("dynamic_intervals") or ():
        parts.append(f"from {milestone} every {interval}")
    for _, hook in hooks(cfg):
        if "switch_epoch" in hook:
            parts.append(f"switch at {hook.switch_epoch}")
        if "num_last_epochs" in hook:
            parts.append(f"switch at {length.steps - hook.num_last_epochs}")
    return f"**{length}**: " + "; ".join(parts)


def scaled(cfg: Config, numerator: int, denominator: int) -> str:
    length = read_length(cfg)
    steps = length.steps * numerator // denominator
    options = RunOptions(cfg, **{"epochs" if length.by_epoch else "iters": steps})
    return describe(set_schedule(Plan(options, config=cfg)).config)


def row(name: str) -> str:
    path = name if "::" in name else str(ROOT / "configs" / name)
    cfg = read_given_config(Plan(RunOptions(path))).config
    shown = name.rpartition("/")[2].removesuffix(".py")
    where = "" if "::" not in name else f"{name.partition('::')[0]}: "
    return f"| {where}`{shown}` | {scaled(cfg, 1, 2)} | {describe(cfg)} | {scaled(cfg, 2, 1)} |"


def test_the_table_of_schedules(monkeypatch):
    monkeypatch.setenv("CONVNEXT_DENSE_DATA", "")
    monkeypatch.chdir(ROOT / "tests")  # without data, so that nothing depends on its size
    head = ["| config | half | as it is | double |", "|---|---|---|---|"]
    table = "\n".join([BEGIN, *head, *map(row, CONFIGS), END])
    page = PAGE.read_text()
    start, end = page.index(BEGIN), page.index(END) + len(END)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page[:start] + table + page[end:])
    assert PAGE.read_text()[start : start + len(table)] == table, (
        "run: WRITE_DOCS=1 python -m pytest tests/config/schedule/test_page.py"
    )
