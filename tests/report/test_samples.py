"""Samples as the network sees them, and where their truth is drawn."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from PIL import Image

from convnext_dense.config.steps.data import retarget
from convnext_dense.report.samples import (
    CELL,
    Sample,
    draw_grid,
    draw_samples,
    lay_out,
    load_truth_first,
    undo_normalisation,
)

from ..configs import load

FLAGS = dict(
    classes="cat,dog",
    ann_train="annotations/instances_train.json",
    ann_val="annotations/instances_val.json",
)
META = dict(classes=("cat", "dog"), palette=[(255, 0, 0), (0, 0, 255)])


def pixels(png):
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def cells(png, shapes):
    """Cut the pictures out of a grid: (H, W, 3) each."""
    grid = pixels(png)
    return [
        grid[top : top + height, left : left + width]
        for (left, top), (height, width) in zip(lay_out(shapes)[0], shapes, strict=True)
    ]


def grey(number, boxes=(), labels=None, masks=None, ignored=None, size=64):
    """A sample of a grey picture, and objects in it."""
    count = len(boxes)
    return Sample(
        f"{number}.jpg",
        np.full((size, size, 3), 100 + number, np.uint8),
        (size, size),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(count, np.int64) if labels is None else np.array(labels),
        masks,
        np.zeros(count, bool) if ignored is None else np.array(ignored),
    )


@pytest.mark.slow
def test_each_sample_has_its_cell():
    png = draw_grid([grey(number) for number in range(5)], META)
    shapes = [(CELL, CELL)] * 5
    places, width, height = lay_out(shapes)
    assert pixels(png).shape == (height, width, 3)
    assert len({left for left, _ in places}) == 3
    assert len({top for _, top in places}) == 2
    for number, cell in enumerate(cells(png, shapes)):
        assert np.abs(cell - (100 + number)).max() == 0


@pytest.mark.slow
def test_boxes_are_drawn_where_they_are():
    (cell,) = cells(draw_grid([grey(0, [[16, 8, 48, 40]])], META), [(CELL, CELL)])
    red = cell[..., 0] - cell[..., 1] > 60
    red[8 * 8 : 8 * 8 + 30, 16 * 8 : 16 * 8 + 50] = False  # the label
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    scale = CELL / 64
    found = columns[0], rows[0], columns[-1], rows[-1]
    assert found == pytest.approx([16 * scale, 8 * scale, 48 * scale, 40 * scale], abs=3)


@pytest.mark.slow
def test_classes_masks_and_ignored_objects_have_their_colours():
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 10:30, 10:30] = True
    masks[1, 40:60, 40:60] = True
    boxes = [[10, 10, 30, 30], [40, 40, 60, 60]]
    learned, ignored = (
        cells(draw_grid([grey(0, boxes, [0, 1], masks, [False, crowd])], META), [(CELL, CELL)])[0]
        for crowd in (False, True)
    )
    middle = slice(20 * 8, 28 * 8)
    assert (learned[middle, middle, 0] - learned[middle, middle, 2] > 40).all()
    # The edge of the second box: blue, or grey where nothing is learned of it.
    edge = slice(60 * 8 - 1, 60 * 8 + 1), slice(44 * 8, 56 * 8)
    assert (learned[edge][..., 2] - learned[edge][..., 0] > 60).all()
    assert np.abs(ignored[edge] - ignored[edge].mean(-1, keepdims=True)).max() < 40


def test_boxes_at_the_edge_do_not_shift_the_picture():
    wide = Sample(
        "a.jpg",
        np.full((247, 500, 3), 100, np.uint8),
        (500, 247),
        np.float32([[400, 200, 500, 247]]),
        np.array([0]),
        None,
        np.array([False]),
    )
    shape = (round(247 * CELL / 500), CELL)
    (cell,) = cells(draw_grid([wide], META), [shape])
    assert (cell[:180, :380] == 100).all()


@pytest.mark.slow
def test_label_maps_are_laid_over_the_picture():
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    labels[:8] = 255
    sample = Sample("a.jpg", np.full((64, 64, 3), 100, np.uint8), (64, 64), None, labels)
    (cell,) = cells(draw_grid([sample], META), [(CELL, CELL)])
    assert (cell[100:, :250, 0] - cell[100:, :250, 2] > 100).all()
    assert (cell[100:, 260:, 2] - cell[100:, 260:, 0] > 100).all()
    assert (cell[:60] == cell[0, 0]).all()


@pytest.mark.parametrize("switch", ["_channel_conversion", "channel_conversion"])
def test_normalisation_is_undone(switch):
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    preprocessor = torch.nn.Module()
    preprocessor._enable_normalize = True
    preprocessor.mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    preprocessor.std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    setattr(preprocessor, switch, True)
    rgb = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1).float()
    tensor = (rgb - preprocessor.mean) / preprocessor.std
    assert (undo_normalisation(tensor, preprocessor) == picture).all()
    assert (undo_normalisation(rgb, torch.nn.Module()) == picture[..., ::-1]).all()


def test_validation_loads_its_truth_before_the_resizing():
    kinds = ["LoadImageFromFile", "mmdet.Resize", "LoadAnnotations", "PackDetInputs"]
    pipeline = [ConfigDict(type=kind) for kind in kinds]
    found = [transform.type for transform in load_truth_first(pipeline)]
    assert found == ["LoadImageFromFile", "LoadAnnotations", "mmdet.Resize", "PackDetInputs"]
    assert [transform.type for transform in pipeline] == kinds
    assert load_truth_first(pipeline[1:]) == pipeline[1:]


@pytest.fixture
def bright_box(coco_set):
    """A data set whose objects are a white box on black, as annotated."""

    def spoil(content):
        content["annotations"].pop(0)
        content["images"].pop(0)

    root = coco_set(spoil)
    for split in ("train", "val"):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[4:14, 4:24] = 255
        cv2.imwrite(str(root / split / "2.jpg"), picture)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_truth_follows_the_picture_through_the_pipeline(mask_rcnn, bright_box, split, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "convnext_dense.report.samples.draw_grid", lambda samples, meta: seen.extend(samples) or b""
    )
    cfg = retarget(mask_rcnn, data_root=str(bright_box), **FLAGS, img_size=96)
    for seed in range(4):
        draw_samples(cfg, 1, split, seed)
    assert len(seen) == 4
    for sample in seen:
        assert sample.picture.shape[0] % 32 == sample.picture.shape[1] % 32 == 0
        assert sample.labels.tolist() == [1]
        bright = sample.picture[: sample.size[1], : sample.size[0]].mean(-1) > 128
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert found == pytest.approx(sample.boxes[0], abs=3)
        if split == "train":  # masks are loaded in training alone
            assert sample.masks.shape == (1, *sample.picture.shape[:2])
            assert (sample.masks[0, : sample.size[1], : sample.size[0]] == bright).mean() > 0.95
    if split == "train":  # some are flipped
        assert len({sample.boxes[0].round().tolist()[0] for sample in seen}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_label_maps_follow_too(upernet, label_maps, split):
    root = label_maps()
    for file in root.glob("*/*/*"):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 32:] = 255
        labels = np.full((48, 64), 1, np.uint8)
        labels[:, 32:] = 2
        Image.fromarray(picture if file.suffix == ".jpg" else labels).save(file)
    cfg = retarget(upernet, data_root=str(root), classes="black,white", img_size=64)
    png, number = draw_samples(cfg, 4, split)
    assert number == 2
    black, white = ((pixels(png) == colour).all(-1).sum() for colour in _overlaid())
    assert min(black, white) > 5000


def _overlaid():
    """What the classes' colours look like over black and over white: 60 % of the colour."""
    from convnext_dense.config.data.classes import distinct_colours

    first, second = map(np.array, distinct_colours(2))
    return (first * 0.6).astype(int), (second * 0.6 + 255 * 0.4).astype(int)


@pytest.mark.slow
def test_a_seed_repeats_the_samples(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS, img_size=96)
    first, again, other = (draw_samples(cfg, 2, seed=seed)[0] for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.slow
def test_a_loader_without_a_batch(mask_rcnn, coco_set):
    cfg = retarget(mask_rcnn, data_root=str(coco_set()), **FLAGS, batch_size=9)
    cfg.train_dataloader.batch_sampler.drop_last = True
    with pytest.raises(ValueError, match="train_dataloader has no batch"):
        draw_samples(cfg, 1)


@pytest.mark.slow
def test_a_mosaic_of_mmdet(coco_set):
    cfg = retarget(
        load("mmdet::yolox/yolox_s_8xb8-300e_coco.py"), data_root=str(coco_set()), **FLAGS
    )
    png, number = draw_samples(cfg, 16)
    assert number == 2
    first, second = cells(png, [(CELL, CELL)] * 2)
    assert (first != second).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(number=0), "`number` is at least 1, got 0"),
        (dict(number=1, seed=-1), r"`seed` is from 0 to 2\*\*32 - 1, got -1"),
    ],
)
def test_numbers_out_of_range(mask_rcnn, arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_samples(mask_rcnn, **arguments)


def test_data_that_training_refuses_is_refused(mask_rcnn, coco_set):
    root = coco_set()
    cfg = retarget(mask_rcnn, data_root=str(root), **FLAGS)
    file = root / FLAGS["ann_train"]
    content = json.loads(file.read_text())
    content["categories"].pop()
    content["annotations"].pop()
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks 1 of the classes"):
        draw_samples(cfg, 1)
    with pytest.raises(ValueError, match="the config has no val_dataloader to show"):
        draw_samples(Config(dict(model=dict())), 1, "val")


@pytest.mark.parametrize("channels", [2, 13])
def test_normalisation_is_undone_for_other_channels(channels):
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    preprocessor = torch.nn.Module()
    preprocessor._enable_normalize = True
    preprocessor.mean, preprocessor.std = torch.tensor(120.0), torch.tensor(60.0)
    preprocessor.channel_conversion = True  # mmseg's, which leaves these alone
    tensor = (torch.from_numpy(picture).permute(2, 0, 1).float() - 120) / 60
    shown = undo_normalisation(tensor, preprocessor)
    assert shown.shape == (4, 5, 3)
    assert (shown[..., :2] == picture[..., :2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_of_other_channels_are_shown(mask_rcnn, coco_set, channels):
    def rename(content):
        for image in content["images"]:
            image["file_name"] = image["file_name"].replace("jpg", "png")

    root = coco_set(rename)
    for file in [*root.glob("*/*.jpg")]:
        shape = (48, 64, channels) if channels > 1 else (48, 64)
        cv2.imwrite(str(file.with_suffix(".png")), np.full(shape, 90, np.uint8))
    cfg = retarget(mask_rcnn, data_root=str(root), **FLAGS)
    cfg.model.backbone.in_channels = channels
    cfg.train_dataloader.dataset.pipeline[0].color_type = "unchanged"
    with pytest.raises(ValueError, match=r"bgr_to_rgb keeps three channels"):
        draw_samples(cfg, number=2)
    cfg.model.data_preprocessor.update(mean=[127], std=[60], bgr_to_rgb=False)
    png, number = draw_samples(cfg, number=2)
    assert number == 2 and pixels(png).shape[2] == 3


@pytest.mark.slow
def test_a_damaged_picture_is_named(mask_rcnn, coco_set):
    root = coco_set()
    for file in (root / "train").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[:-20] + b"\xff\xd9")
    with pytest.raises(ValueError, match=r"train/\d\.jpg: the picture is damaged or cut off"):
        draw_samples(retarget(mask_rcnn, data_root=str(root), **FLAGS), number=2)
