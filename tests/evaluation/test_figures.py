"""The files that keep figures, and the published row beside them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from convnext_dense.evaluation import Figures
from convnext_dense.evaluation.figures import write_figures
from convnext_dense.evaluation.published import compare_with_published
from convnext_dense.evaluation.tables import comparison_table, per_class_table, summary_table
from convnext_dense.files import write_whole
from convnext_dense.zoo import recipes

pytestmark = pytest.mark.slow

MASKS = Figures(
    dict(bbox_AP=0.4721, segm_AP=0.41),
    [
        {"class": "cat, tame", "objects": 3, "bbox_AP": 0.5, "bbox_APs": float("nan")},
        {"class": "dog", "objects": 0, "bbox_AP": 0.25, "bbox_APs": 1.0},
    ],
)
LABELS = Figures(dict(mIoU=46.71, mAcc=58.0, aAcc=81.2), [{"class": "wall", "IoU": 0.5}])
TINY = "configs/det/mask_rcnn_convnext_t_coco.py"
UPERNET = "configs/seg/upernet_convnext_t_ade20k.py"


def test_files_hold_every_digit(tmp_path):
    write_figures(tmp_path / "new", MASKS, config="c.py")
    written = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert written == dict(config="c.py", metrics=dict(bbox_AP=0.4721, segm_AP=0.41))
    with (tmp_path / "new" / "per_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cat, tame", "dog"]
    assert [row["bbox_APs"] for row in rows] == ["", "1.0"]


def test_figures_without_classes_leave_no_earlier_table_beside_them(tmp_path):
    metrics, table = tmp_path / "metrics.json", tmp_path / "per_class.csv"
    assert write_figures(tmp_path, MASKS) == [metrics, table]
    assert write_figures(tmp_path, Figures(dict(mAP=np.float32(0.5)))) == [metrics]
    assert json.loads(metrics.read_text()) == dict(metrics=dict(mAP=0.5))
    assert not table.exists()


def test_a_failure_leaves_the_earlier_file(tmp_path, monkeypatch):
    file = tmp_path / "metrics.json"
    write_whole(file, "earlier")

    def full(self, data):
        with self.open("wb") as part:
            part.write(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"could not write .*metrics\.json: No space left on device"):
        write_whole(file, "later")
    assert file.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_the_published_row_stands_beside():
    comparison = compare_with_published(TINY, MASKS, tta=False, images=5000, changes=[])
    assert comparison.name == "Mask R-CNN ConvNeXt-T, IN-1K"
    box, mask = comparison.figures
    assert (box.metric, box.here, box.published, box.difference) == ("box AP", 47.21, 46.2, 1.01)
    assert (mask.metric, mask.here, mask.difference) == ("mask AP", 41.0, -0.7)
    assert not comparison.unlike
    assert "not comparable" not in comparison_table(comparison)


def test_the_multi_scale_test_has_its_own_figure():
    for tta, published in ((False, 46.0), (True, 46.7)):
        (beside,) = compare_with_published(
            UPERNET, LABELS, tta=tta, images=2000, changes=[]
        ).figures
        assert beside.published == published


@pytest.mark.parametrize(
    ("recipe", "tta", "published"),
    [
        ("upernet_convnext_v2_b_ade20k", False, "with `tta`"),
        ("linear_dinov3_convnext_t_ade20k", True, "without `tta`"),
    ],
)
def test_a_row_of_another_test_is_no_empty_table(recipe, tta, published):
    comparison = compare_with_published(
        f"configs/seg/{recipe}.py", LABELS, tta=tta, images=2000, changes=[]
    )
    assert not comparison.figures
    assert comparison_table(comparison).endswith(f"\nnot comparable: published {published} alone\n")


def test_a_detector_is_published_at_one_scale():
    recipe = "configs/det/rtmdet_convnext_b_in22k_coco.py"
    comparison = compare_with_published(recipe, MASKS, tta=True, images=5000, changes=[])
    assert comparison.unlike == ["`tta`, published without"]


def test_a_recipe_without_published_figures_is_compared_with_none():
    recipe = "configs/seg/mask2former_convnext_t_ade20k.py"
    assert compare_with_published(recipe, LABELS, tta=False, images=2000, changes=[]) is None


def test_other_data_or_another_model_is_named():
    comparison = compare_with_published(TINY, MASKS, tta=False, images=19, changes=["--classes"])
    assert comparison.unlike == ["--classes", "19 images, published on 5000"]
    text = comparison_table(comparison)
    assert "not comparable: --classes; 19 images, published on 5000" in text


@pytest.fixture
def renamed(tmp_path):
    """Write the recipe of a Mask R-CNN, changed, under its own name elsewhere."""

    def write(**changes):
        cfg = Config.fromfile(TINY)
        cfg.merge_from_dict(changes)
        cfg.dump(tmp_path / Path(TINY).name)
        return tmp_path / Path(TINY).name

    return write


def test_another_model_under_the_name_of_a_recipe_is_named(renamed):
    model = {"arch": "atto", "drop_path_rate": 0.0, "init_cfg": None}
    heads = ("bbox_head", "mask_head")
    file = renamed(
        **{f"model.backbone.{key}": value for key, value in model.items()},
        **{f"model.roi_head.{head}.num_classes": 1 for head in heads},
        **{"test_dataloader.dataset.metainfo": dict(classes=("droplet",))},
    )
    classes, arch, number = compare_with_published(
        file, MASKS, tta=False, images=5000, changes=[]
    ).unlike
    assert classes.startswith("classes: ['droplet'], in the recipe ['person', 'bicycle', ")
    assert arch == "model.backbone.arch: 'atto', in the recipe 'tiny'"
    assert number.startswith("model.roi_head.bbox_head.num_classes and 1 more: 1, in the recipe")


def test_a_copy_of_a_recipe_is_comparable_whatever_acts_in_training_alone(renamed):
    file = renamed(**{"model.backbone.with_cp": True, "model.backbone.init_cfg": None})
    assert compare_with_published(file, MASKS, tta=False, images=5000, changes=[]).unlike == []


def test_few_of_many_differences_are_shown(renamed):
    file = renamed(model=dict(neck={f"key{number}": number for number in range(9)}))
    *first, last = compare_with_published(file, MASKS, tta=False, images=5000, changes=[]).unlike
    assert len(first) == 5
    assert first[0] == "model.neck.key0: 0, in the recipe missing"
    assert last == "4 more values of the model"


def test_a_recipe_that_is_not_at_hand_is_said(monkeypatch):
    monkeypatch.setattr(recipes, "FOLDER", Path("nowhere"))
    comparison = compare_with_published(TINY, MASKS, tta=False, images=5000, changes=[])
    assert comparison.unlike == [f"there is no recipe {Path(TINY).stem} to compare with"]


def test_no_row_where_none_was_published():
    assert compare_with_published("my_config.py", MASKS, tta=False, images=5000, changes=[]) is None


def test_tables_are_never_cut():
    wide = [{"class": "a" * 90, **{f"segm_AP{i}": 0.5 for i in range(30)}}]
    lines = per_class_table(Figures({}, wide)).splitlines()
    assert "a" * 90 in lines[-1]
    assert lines[-1].count("0.500") == 30
    assert per_class_table(MASKS).splitlines()[2].split()[-2:] == ["0.500", "-"]
    assert "46.71" in summary_table(LABELS)


@pytest.mark.parametrize("name", ["[bold]cat", "[/]", "a[0]"])
def test_a_name_in_a_table_is_no_markup(name):
    rows = [{"class": name, "segm_AP": 0.5}]
    assert per_class_table(Figures({}, rows)).splitlines()[-1].split()[0] == name
