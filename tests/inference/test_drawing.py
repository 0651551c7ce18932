"""Pictures of results."""

from __future__ import annotations

import numpy as np
import pytest

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.inference.drawing import SMALLEST, Drawer, draw_legend
from convnext_dense_runtime.results import Detections, Segmentation

pytestmark = pytest.mark.slow

CLASSES = ("cat", "dog")
RED, GREEN = (255, 0, 0), (0, 255, 0)
GREY = 90


@pytest.fixture
def draw():
    return Drawer(CLASSES, [RED, GREEN])


def detections(width, height, label=0, with_masks=False):
    box = np.array([[0.3, 0.4, 0.6, 0.8]], np.float32) * np.float32([width, height] * 2)
    masks = np.zeros((1, height, width), bool)
    masks[0, int(0.6 * height) : int(0.8 * height), int(0.3 * width) : int(0.6 * width)] = True
    return Detections(
        box, np.ones(1, np.float32), np.array([label]), masks if with_masks else None, CLASSES
    )


@pytest.mark.parametrize("size", [(40, 30), (300, 800), (2400, 1600)])
def test_a_box_stands_where_it_was_found(draw, size):
    width, height = size
    picture = np.full((height, width, 3), GREY, np.uint8)
    drawn = draw(picture, detections(width, height))
    scale = max(1, SMALLEST / max(size))
    assert drawn.shape == (round(height * scale), round(width * scale), 3)
    blue, _, red = drawn.astype(int).transpose(2, 0, 1)
    rows, columns = np.nonzero(red - blue > 60)  # BGR: the box is red
    reach = 0.02 * max(drawn.shape)
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    assert found == pytest.approx(detections(width, height).boxes[0] * scale, abs=reach)
    # The label lies inside the box's corner, light on black.
    x, y = int(0.3 * drawn.shape[1]), int(0.4 * drawn.shape[0])
    corner = drawn[y : y + drawn.shape[0] // 10, x : x + drawn.shape[1] // 4]
    assert corner.min() < GREY / 2
    assert corner.max() > 170


def test_lines_grow_with_the_picture(draw):
    def red_pixels(width, height):
        drawn = draw(np.full((height, width, 3), GREY, np.uint8), detections(width, height))
        column = drawn[int(0.7 * drawn.shape[0])].astype(int)
        return (column[:, 2] - column[:, 0] > 60).sum()

    assert red_pixels(3600, 2400) > 2 * red_pixels(800, 600)


def test_a_label_at_the_right_edge_stays_inside(draw):
    picture = np.full((600, 800, 3), GREY, np.uint8)
    box = np.array([[780, 300, 799, 400]], np.float32)
    found = Detections(box, np.ones(1, np.float32), np.array([1]), None, CLASSES)
    drawn = draw(picture, found)
    _, columns = np.nonzero((drawn < GREY / 3).all(-1))
    assert columns.min() < 760
    assert columns.max() < 799


@pytest.mark.parametrize("size", [(640, 480), (101, 77)])
@pytest.mark.parametrize("corners", [(-0.3, -0.3, 0.3, 0.3), (0.7, 0.7, 1.001, 1.001)])
def test_a_box_that_ends_outside_leaves_the_picture_in_its_place(draw, size, corners):
    width, height = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int), None, CLASSES)
    box = np.float32([corners]) * np.float32([width, height] * 2)
    found = Detections(box, np.ones(1, np.float32), np.zeros(1, int), None, CLASSES)
    plain, drawn = draw(picture, none), draw(picture, found)
    assert drawn.shape == plain.shape
    rows = slice(int(0.4 * len(plain)), int(0.6 * len(plain)))
    assert (drawn[rows] == plain[rows]).all()
    assert (drawn != plain).any()


def test_labels_are_as_wide_as_their_text():
    def width(labels):
        drawer = Drawer(CLASSES, [RED, GREEN], labels=labels)
        drawn = drawer(np.full((480, 640, 3), GREY, np.uint8), detections(640, 480))
        _, columns = np.nonzero((drawn < GREY / 3).all(-1))  # the text's background
        return np.ptp(columns) if len(columns) else 0

    assert width("none") == 0 < 1.5 * width("name") < width("score")


def test_masks_and_no_objects(draw):
    picture = np.full((480, 640, 3), GREY, np.uint8)
    plain = draw(picture, detections(640, 480))
    masked = draw(picture, detections(640, 480, with_masks=True))
    assert (plain[340, 250] == GREY).all()
    assert (masked[340, 250] != GREY).any()
    none = Detections(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros((0, 480, 640), bool),
        CLASSES,
    )
    assert np.abs(draw(picture, none).astype(int) - GREY).max() <= 1


def test_a_segmentation_is_an_overlay_with_a_legend(draw):
    labels = np.zeros((480, 640), np.uint8)
    labels[:, 320:] = 1
    drawn = draw(np.full((480, 640, 3), GREY, np.uint8), Segmentation(labels, CLASSES))
    assert drawn.shape[0] == 480
    assert drawn.shape[1] > 640
    assert drawn[240, 100].argmax() == 2  # BGR: red
    assert drawn[240, 500].argmax() == 1
    legend = drawn[:, 640:].reshape(-1, 3).astype(int)
    for colour in (RED, GREEN):
        assert (np.abs(legend - colour[::-1]).max(1) < 10).sum() > 50


def test_a_segmentation_without_a_legend_keeps_its_size():
    labels = np.zeros((480, 640), np.uint8)
    labels[:, 320:] = 1
    picture, found = np.full((480, 640, 3), GREY, np.uint8), Segmentation(labels, CLASSES)
    with_legend, without = (
        Drawer(CLASSES, [RED, GREEN], legend=legend)(picture, found) for legend in (True, False)
    )
    assert without.shape == picture.shape
    assert (without == with_legend[:, :640]).all()


def test_a_legend_takes_as_many_columns_as_it_needs():
    texts = [f"a long name {i}" for i in range(60)]
    colours = [(4 * i, 0, 0) for i in range(60)]
    few, many = (draw_legend(texts[:n], colours[:n], 400) for n in (4, 60))
    assert few.shape[0] == many.shape[0] == 400
    assert many.shape[1] > 3 * few.shape[1]
    # White all around: nothing is cut off.
    for edge in (many[0], many[-1], many[:, 0], many[:, -1]):
        assert (edge == 255).all()
