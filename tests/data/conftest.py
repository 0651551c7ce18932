"""Configs and small data sets for the tests of the data room."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from PIL import Image

import convnext_dense  # noqa: F401  makes mmdet's and mmseg's configs and data sets importable

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="session")
def load() -> Callable[[str], Config]:
    """Load one of ours by its path below configs/, or mmdet's and mmseg's by their scope."""
    loaded = {}

    def copy_of(name: str) -> Config:
        if name not in loaded:
            own = "::" not in name
            loaded[name] = Config.fromfile(CONFIGS / name) if own else get_config(name)
        return copy.deepcopy(loaded[name])

    return copy_of


@pytest.fixture
def mask_rcnn(load) -> Config:
    return load("det/mask_rcnn_convnext_t_coco.py")


@pytest.fixture
def cascade(load) -> Config:
    return load("det/cascade_convnext_t_coco.py")


@pytest.fixture
def upernet(load) -> Config:
    return load("seg/upernet_convnext_t_ade20k.py")


@pytest.fixture
def coco_set(tmp_path):
    """Write a data set of two images a split, and let a test spoil the file's content."""

    def write(spoil=lambda content: None) -> Path:
        for split in ("train", "val"):
            (tmp_path / split).mkdir()
            for i in (1, 2):
                picture = Image.new("RGB", (64, 48), (60 * i, 99 * (split == "val"), 0))
                picture.save(tmp_path / split / f"{i}.jpg")
            content = dict(
                images=[dict(id=i, file_name=f"{i}.jpg", width=64, height=48) for i in (1, 2)],
                categories=[dict(id=3, name="cat"), dict(id=7, name="dog")],
                annotations=[
                    dict(
                        id=i,
                        image_id=i,
                        category_id=category,
                        bbox=[4, 4, 20, 10],
                        area=200,
                        iscrowd=0,
                        segmentation=[[4, 4, 24, 4, 24, 14, 4, 14]],
                    )
                    for i, category in ((1, 3), (2, 7))
                ],
            )
            spoil(content)
            (tmp_path / "annotations").mkdir(exist_ok=True)
            file = tmp_path / "annotations" / f"instances_{split}.json"
            file.write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.fixture
def label_maps(tmp_path):
    """Write a segmenter's data set of two images a split in ADE20K's layout."""

    def write(labels=(0, 1, 2), image_suffix=".jpg") -> Path:
        for split in ("training", "validation"):
            images, maps = tmp_path / "images" / split, tmp_path / "annotations" / split
            images.mkdir(parents=True)
            maps.mkdir(parents=True)
            for i in (1, 2):
                picture = Image.new("RGB", (64, 48), (60 * i, 99 * (split == "validation"), 0))
                picture.save(images / f"{i}{image_suffix}")
                content = np.resize(np.array(labels, np.uint8), (48, 64))
                Image.fromarray(content).save(maps / f"{i}.png")
        return tmp_path

    return write
