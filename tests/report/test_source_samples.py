"""Where the labels of another tool's data set are drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from convnext_dense.config.data.classes import distinct_colours
from convnext_dense.data.formats.detect import open_source
from convnext_dense.report import source_samples
from convnext_dense.report.samples import lay_out
from convnext_dense.report.source_samples import draw_source

pytestmark = pytest.mark.slow


@pytest.fixture
def yolo(tmp_path):
    for split, names in dict(train="abcdef", val="g").items():
        for name in names:
            for folder in ("images", "labels"):
                (tmp_path / folder / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (512, 256), "grey").save(tmp_path / f"images/{split}/{name}.png")
            lines = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n1 0.9 0.9 0.1 0.1\n"
            (tmp_path / f"labels/{split}/{name}.txt").write_text(lines)
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]")
    return tmp_path


def names(samples):
    return [sample.file for sample in samples]


def cell(png, number):
    grid = np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    left, top = lay_out([(256, 512)] * number)[0][0]
    return grid[top : top + 256, left : left + 512]


def test_outlines_are_drawn_where_they_are(yolo):
    png, drawn = draw_source(open_source(yolo), 4)
    picture = cell(png, 4)
    is_grey = np.ptp(picture, axis=-1) < 8
    assert drawn == 4
    assert not is_grey[100:180, 160:350].any()
    assert is_grey[:55].all() and is_grey[:, :120].all()


def test_splits_seeds_and_numbers(yolo, monkeypatch):
    source, chosen = open_source(yolo), []
    monkeypatch.setattr(source_samples, "draw_grid", lambda drawn, _: chosen.append(names(drawn)))
    assert [draw_source(source, 16, split)[1] for split in (None, "train", "val")] == [7, 6, 1]
    assert chosen.pop() == ["images/val/g.png"]
    for seed in (1, 1, 2, 3, 4):
        assert draw_source(source, 2, seed=seed)[1] == 2
    first, again, *others = chosen[-5:]
    assert first == again and any(other != first for other in others)
    with pytest.raises(ValueError, match="has no picture of test: its splits are train, val"):
        draw_source(source, 2, "test")


def test_label_maps_have_the_colours_of_their_classes(tmp_path):
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (512, 256)).save(tmp_path / "images/a.jpg")
    labels = np.zeros((256, 512), np.uint8)
    labels[:, 256:] = 2
    Image.fromarray(labels).save(tmp_path / "annotations/a.png")
    source = open_source(tmp_path, classes=["sky", "road"])
    picture = cell(draw_source(source, 1)[0], 1)
    red, green, blue = distinct_colours(2)[1]
    right = picture[:, 260:].mean((0, 1))
    assert picture[:, :250].max() < 30
    np.testing.assert_allclose(right / right.max(), np.array([red, green, blue]) / 242, atol=0.1)
