"""What counts as equal to PyTorch, and what does not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convnext_dense.export.graph import DetectorGraph
from convnext_dense.export.verify import (
    DifferentError,
    Picture,
    UnstableError,
    compare,
    compare_detections,
    compare_labels,
)
from convnext_dense_runtime.results import Detections, Segmentation

CUT_OFF, MOST = 0.05, 300
MASKS = np.arange(4 * 400).reshape(4, 20, 20) % 7 > 2


def detections(number=4, **changes) -> Detections:
    """Return detections in a column, the best at the top."""
    top = np.arange(number, dtype=np.float32) * 20
    values = dict(
        boxes=np.stack([top, top, top + 10, top + 12], -1),
        scores=np.linspace(0.9, 0.3, number, dtype=np.float32),
        labels=np.arange(number) % 3,
        masks=None,
        classes=(),
    )
    return Detections(**{**values, **changes})


def moved(by: float) -> Detections:
    return detections(boxes=detections().boxes + np.float32(by))


def rescored(row: int, score: float) -> Detections:
    scores = detections().scores.copy()
    scores[row] = score
    return detections(scores=scores)


def test_equal_ones_in_another_order():
    wanted = detections(masks=MASKS)
    order = [2, 0, 3, 1]
    got = Detections(
        wanted.boxes[order], wanted.scores[order], wanted.labels[order], wanted.masks[order], ()
    )
    figures = compare_detections(got, wanted, CUT_OFF, MOST)
    assert (figures.found, figures.changed, figures.box, figures.mask) == (4, 0, 0.0, 1.0)


@pytest.mark.parametrize("got", [moved(0.009), rescored(1, 0.7 + 0.9e-4)])
def test_within_the_limits(got):
    figures = compare_detections(got, detections(), CUT_OFF, MOST)
    assert figures.box == pytest.approx(np.abs(got.boxes - detections().boxes).max())
    assert figures.score == pytest.approx(np.abs(got.scores - detections().scores).max())


@pytest.mark.parametrize(
    "got",
    [
        moved(0.012),
        rescored(1, 0.7 + 1.2e-4),
        detections(labels=np.array([0, 1, 2, 1])),
        detections(3),
        detections(5),
    ],
)
def test_outside_the_limits(got):
    with pytest.raises(DifferentError, match="no counterpart"):
        compare_detections(got, detections(), CUT_OFF, MOST)


def test_one_detection_is_not_paired_twice():
    wanted = detections(2, boxes=np.zeros((2, 4), np.float32), scores=np.float32([0.9, 0.9]))
    wanted.labels[:] = 0
    one = Detections(wanted.boxes[:1], wanted.scores[:1], wanted.labels[:1], None, ())
    with pytest.raises(DifferentError, match="1 of 2"):
        compare_detections(one, wanted, CUT_OFF, MOST)


def test_at_the_cut_off_they_may_change_places():
    wanted, got = rescored(3, CUT_OFF + 0.5e-4), detections(3, scores=detections().scores[:3])
    assert compare_detections(got, wanted, CUT_OFF, MOST).changed == 1


def test_the_worst_of_as_many_as_there_can_be_is_a_cut_off():
    wanted = detections()
    got = detections(boxes=np.concatenate([wanted.boxes[:3], wanted.boxes[3:] + 50]))
    assert compare_detections(got, wanted, CUT_OFF, most=4).changed == 1
    with pytest.raises(DifferentError):
        compare_detections(got, wanted, CUT_OFF, most=5)


def test_masks():
    wanted = detections(masks=MASKS)
    spoilt = wanted.masks.copy()
    spoilt[2, 4, 4] ^= True
    got = detections(masks=spoilt)
    with pytest.raises(DifferentError, match="IoU"):
        compare_detections(got, wanted, CUT_OFF, MOST)
    # The pixel is at the threshold: either side is right.
    figures = compare_detections(got, wanted, CUT_OFF, MOST, lambda boxes: spoilt ^ wanted.masks)
    assert figures.mask == 1.0


def test_a_mask_moves_with_its_box():
    test_cfg = SimpleNamespace(rcnn=SimpleNamespace(mask_thr_binary=0.5))
    graph = DetectorGraph(SimpleNamespace(with_mask=True, test_cfg=test_cfg))
    ramp = np.tile(np.linspace(0, 1, 28, dtype=np.float32), (1, 28, 1))
    # At half of its width, which is the middle of a pixel, it crosses the threshold.
    boxes = np.float32([[4, 2, 9, 12]])
    outputs = [boxes, np.float32([0.9]), np.array([0]), ramp]
    moved = boxes + np.float32([0.009, 0, 0.009, 0])
    differ = graph._paste(ramp, boxes, (16, 16), 0.0) ^ graph._paste(ramp, moved, (16, 16), 0.0)
    assert differ.sum() == 10
    assert np.array_equal(graph.doubtful(outputs, (16, 16), 1e-6, moved), differ)


def test_label_maps():
    wanted = np.zeros((100, 200), np.uint8)
    got = wanted.copy()
    got[0, :2] = 1
    assert compare_labels(Segmentation(got, ()), Segmentation(wanted, ())).pixels == 0.9999
    got[0, :3] = 1
    with pytest.raises(DifferentError, match="pixels"):
        compare_labels(Segmentation(got, ()), Segmentation(wanted, ()))


class Finds:
    """A graph that finds the same in each picture, as does its exported form."""

    def __init__(self, wanted, got):
        self.wanted, self.got = wanted, got

    def reference(self, image):
        assert isinstance(image, torch.Tensor)
        return self.wanted

    def outputs_of(self, run, image):
        return run(image)

    def read(self, outputs, size):
        return self.got

    def doubtful(self, outputs, size, margin, boxes):
        raise AssertionError("masks are equal")


def compared(wanted, got, pictures=1):
    """Compare results for pictures."""
    named = [Picture(f"picture {i}", np.zeros((1, 3, 8, 8), np.float32)) for i in range(pictures)]
    return compare(Finds(wanted, got), lambda values: [np.zeros(MOST)], named, CUT_OFF)


def test_a_model_that_finds_nothing_fails():
    nothing = detections(0)
    with pytest.raises(DifferentError, match="finds nothing"):
        compared(nothing, nothing, pictures=2)


def test_the_message_names_the_picture():
    with pytest.raises(DifferentError, match="in picture 0: "):
        compared(detections(), moved(1))


def test_at_most_one_in_a_hundred_may_change_places():
    many = detections(200, scores=np.linspace(0.9, CUT_OFF, 200, dtype=np.float32))
    fewer = detections(199, scores=many.scores[:199])
    assert compared(many, fewer).changed == 1
    few = detections(50, scores=np.linspace(0.9, CUT_OFF, 50, dtype=np.float32))
    fewer = detections(49, scores=few.scores[:49])
    with pytest.raises(DifferentError, match="1 of 50 detections at the cut-off"):
        compared(few, fewer)


class Hesitates(Finds):
    """PyTorch finds something else where noise is added to the picture."""

    def reference(self, image):
        return self.wanted if (image == 1).all() else moved(5)


@pytest.mark.parametrize(("kind", "error"), [(Hesitates, UnstableError), (Finds, DifferentError)])
def test_pictures_in_which_pytorch_differs_from_itself_are_told_apart(kind, error):
    picture = Picture("a", np.ones((1, 3, 8, 8), np.float32))
    with pytest.raises(DifferentError, match="differs from PyTorch in a: ") as caught:
        compare(kind(detections(), moved(1)), lambda values: [np.zeros(MOST)], [picture], CUT_OFF)
    assert caught.type is error
    assert ("There PyTorch differs from itself too" in str(caught.value)) == (kind is Hesitates)
