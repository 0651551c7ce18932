"""The fine-tuned models of the recipes: their names, addresses and figures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from convnext_dense.zoo.models import OPENMMLAB, fine_tuned_model, locate_model, row_of_model
from convnext_dense.zoo.results import PUBLISHED


def test_the_model_of_a_recipe():
    for row in PUBLISHED:
        if row.checkpoint:
            assert fine_tuned_model(f"configs/{row.config}.py", "published") == row.checkpoint
    with pytest.raises(ValueError, match=r"no published model for mine\.py, only for mask_rcnn_"):
        fine_tuned_model("configs/det/mine.py", "published")


def test_a_recipe_without_a_model_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match=r"no published model for dino_convnext_t_coco\.py, only "):
        fine_tuned_model("configs/det/dino_convnext_t_coco.py", "published")
    with pytest.raises(ValueError, match=r"no openmmlab model for cascade_convnext_b_coco\.py, on"):
        fine_tuned_model("configs/det/cascade_convnext_b_coco.py", "openmmlab")


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'openmmlabs', nor is it one of "):
        locate_model("openmmlabs", "configs/det/cascade_convnext_t_coco.py")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'w/epoch_1\.pth'$"):
        locate_model("w/epoch_1.pth", "configs/det/cascade_convnext_t_coco.py")


def installed_results():
    """The models of the installed mmdet's and mmseg's lists, by their address."""
    folders = [Path(find_spec(name).origin).parent / ".mim/configs" for name in ("mmdet", "mmseg")]
    lists = [folders[0] / "convnext/metafile.yml", folders[0] / "rtmdet/metafile.yml"]
    lists.append(folders[1] / "convnext/metafile.yaml")
    models = [model for file in lists for model in yaml.safe_load(file.read_text())["Models"]]
    models = [model for model in models if "convnext" in model["Name"]]
    return {model["Weights"]: model["Results"] for model in models}


def test_openmmlabs_models_are_those_of_the_installed_lists():
    names = {
        "box AP": "coco/bbox_mAP",
        "mask AP": "coco/segm_mAP",
        "mIoU(ms+flip)": "mIoU (ms+flip)",
    }
    installed = {
        url: {
            names.get(name, name): value
            for result in (results if isinstance(results, list) else [results])
            for name, value in result["Metrics"].items()
        }
        for url, results in installed_results().items()
    }
    assert {row.checkpoint: row.metrics for row in OPENMMLAB} == installed
    assert len(OPENMMLAB) == 10


def test_a_file_of_openmmlab_is_compared_with_openmmlabs_figures():
    config = "configs/det/cascade_convnext_t_coco.py"
    url = fine_tuned_model(config, "openmmlab")
    for model in (url, f"downloads/{url.rpartition('/')[2]}"):
        assert row_of_model(config, model).metrics["coco/bbox_mAP"] == 50.3
    for model in (None, "epoch_36.pth", fine_tuned_model(config, "published")):
        assert row_of_model(config, model).metrics["coco/bbox_mAP"] == 50.4
    assert row_of_model("configs/seg/upernet_convnext_t_ade20k.py", url).metrics["mIoU"] == 46.0
    assert row_of_model("configs/det/mask2former_convnext_t_coco.py") is None


def test_a_folder_is_refused_with_the_file_that_it_holds(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match=r"is a folder: name a file in it, such as model"):
        locate_model(str(tmp_path), "config.py")
