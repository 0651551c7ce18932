"""mIoU from folders: computed by hand, as mmseg gives it, and refusals by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import convnext_dense  # noqa: F401  first, since it makes mmseg importable
from convnext_dense.evaluation.label_maps import evaluate_label_maps, read_labels

CLASSES = ("wall", "door", "lamp")
# 0 is unlabelled, 1 wall, 2 door, 3 lamp, 255 left out.
TRUTH = {
    "a.png": [[1, 1, 2, 2], [1, 1, 2, 0]],
    "b.png": [[1, 2, 255, 2]],
}
PREDICTED = {
    "a.png": [[1, 1, 2, 1], [1, 2, 2, 3]],  # the last pixel has no truth
    "b.png": [[1, 2, 3, 0]],  # the third does not count, the fourth is a miss
}
# wall: 4 found of 5; 5 predicted, of which 1 is door: IoU 4 / 6, Acc 4 / 5.
# door: 3 found of 5; 4 predicted, of which 1 is wall: IoU 3 / 6, Acc 3 / 5.
# lamp: neither true nor predicted where it counts: undefined, in no mean.
SUMMARY = dict(aAcc=70.0, mIoU=58.33, mAcc=70.0)
PER_CLASS = dict(wall=(66.67, 80.0), door=(50.0, 60.0))


def write(folder, maps):
    folder.mkdir(exist_ok=True)
    for name, labels in maps.items():
        Image.fromarray(np.array(labels, np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def folders(tmp_path):
    return write(tmp_path / "pred", PREDICTED), write(tmp_path / "gt", TRUTH)


def test_figures_are_those_computed_by_hand(folders):
    figures = evaluate_label_maps(*folders, CLASSES, reduce_zero_label=True)
    assert figures.summary == SUMMARY
    rows = {row["class"]: (row["IoU"], row["Acc"]) for row in figures.per_class}
    assert {name: rows[name] for name in PER_CLASS} == PER_CLASS
    assert np.isnan(rows["lamp"]).all()


def test_labels_from_0(tmp_path):
    def lower(maps):
        return {
            name: np.where(np.isin(m, (0, 255)), 255, np.array(m) - 1) for name, m in maps.items()
        }

    folders = write(tmp_path / "pred", lower(PREDICTED)), write(tmp_path / "gt", lower(TRUTH))
    assert evaluate_label_maps(*folders, CLASSES).summary == SUMMARY


@pytest.mark.parametrize("reduce_zero_label", [True, False])
def test_figures_are_those_of_mmseg(tmp_path, reduce_zero_label):
    from mmengine.structures import PixelData
    from mmseg.datasets.transforms import LoadAnnotations
    from mmseg.evaluation import IoUMetric
    from mmseg.structures import SegDataSample

    rng = np.random.default_rng(0)
    classes = tuple(f"c{i}" for i in range(20))
    gt, pred, samples = tmp_path / "gt", tmp_path / "pred", []
    first = int(reduce_zero_label)
    for index in range(4):
        size = rng.integers(20, 90, 2)
        truth = rng.integers(0, 19 + first, size)
        truth[rng.random(size) < 0.1] = 255
        found = np.where(rng.random(size) < 0.6, truth.clip(first, 19), rng.integers(0, 20, size))
        write(gt, {f"{index}.png": truth})
        write(pred, {f"{index}.png": found + first * (found < 20)})
        read = LoadAnnotations()(
            dict(
                seg_map_path=str(gt / f"{index}.png"),
                reduce_zero_label=reduce_zero_label,
                seg_fields=[],
            )
        )["gt_seg_map"]
        label = np.array(Image.open(pred / f"{index}.png")).astype(np.int64) - first
        sample = SegDataSample(
            gt_sem_seg=PixelData(data=torch.from_numpy(read)[None]),
            pred_sem_seg=PixelData(data=torch.from_numpy(label)[None]),
        )
        samples.append(sample.to_dict())
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    expected = metric.compute_metrics(metric.results)
    ours = evaluate_label_maps(pred, gt, classes, reduce_zero_label=reduce_zero_label).summary
    assert ours == pytest.approx(expected, abs=1e-5)
    assert {name: f"{value:.2f}" for name, value in ours.items()} == {
        name: f"{value:.2f}" for name, value in expected.items()
    }


def test_maps_in_folders_are_compared_by_their_paths(folders):
    for folder in folders:
        for name in ("a", "b"):
            (folder / name).mkdir()
            (folder / f"{name}.png").rename(folder / name / "0.png")
    pred, gt = folders
    assert evaluate_label_maps(pred, gt, CLASSES, reduce_zero_label=True).summary == SUMMARY
    (pred / "b/0.png").unlink()
    message = refused(FileNotFoundError, pred, gt)
    assert message.endswith(f"lacks 1 of the 2 label maps of {gt}: b/0.png")


def refused(error, *args, **options):
    with pytest.raises(error) as raised:
        evaluate_label_maps(*args, CLASSES, **{"reduce_zero_label": True, **options})
    return str(raised.value)


def test_refuses_folders_that_do_not_match(folders, tmp_path):
    pred, gt = folders
    assert f"no folder {tmp_path / 'x'} of pred" in refused(FileNotFoundError, tmp_path / "x", gt)
    (tmp_path / "empty").mkdir()
    assert "has no .png file" in refused(FileNotFoundError, pred, tmp_path / "empty")
    (gt / "b.png").rename(gt / "c.png")
    assert "lacks 1 of the 2 label maps" in refused(FileNotFoundError, pred, gt)
    (gt / "c.png").unlink()
    message = refused(ValueError, pred, gt)
    assert f"1 of the 2 label maps of {pred} have no truth in {gt}: b.png" in message


def test_refuses_maps_that_cannot_be_compared(folders):
    pred, gt = folders
    write(pred, {"a.png": [[1, 1], [2, 2]]})
    message = refused(ValueError, pred, gt)
    assert f"{pred / 'a.png'} is 2 x 2 pixels, but its truth {gt / 'a.png'} is 4 x 2" in message
    write(pred, {"a.png": [[1, 1, 2, 4], [1, 2, 2, 9]]})
    message = refused(ValueError, pred, gt)
    assert f"{pred / 'a.png'} has labels out of range: 4, 9; 3 classes have 1 to 3" in message
    write(pred, {"a.png": np.zeros((2, 4, 3))})
    assert "a map of labels has one channel" in refused(ValueError, pred, gt)
    (pred / "a.png").write_bytes((gt / "a.png").read_bytes()[:50])
    assert f"{pred / 'a.png'} is not a whole PNG" in refused(ValueError, pred, gt)


def test_a_forgotten_flag_is_named(folders):
    write(folders[0], {"a.png": TRUTH["a.png"]})
    write(folders[1], {"a.png": [[3, 3, 3, 3]] * 2})
    message = refused(ValueError, *folders, reduce_zero_label=False)
    assert "labels begin at 1 and 0 is unlabelled, give `reduce_zero_label=True`" in message


def test_a_palette_does_not_change_the_labels(tmp_path):
    picture = Image.fromarray(np.array(TRUTH["a.png"], np.uint8))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    assert picture.mode == "P"
    labels = read_labels(tmp_path / "a.png", 3, reduce_zero_label=True)
    assert labels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 255]]


def test_wide_files_are_read_where_their_labels_fit_8_bits(folders):
    pred, gt = folders
    for folder in folders:
        for file in folder.iterdir():
            Image.fromarray(np.array(Image.open(file)).astype(np.uint16)).save(file)
    assert evaluate_label_maps(pred, gt, CLASSES, reduce_zero_label=True).summary == SUMMARY
    Image.fromarray(np.full((2, 4), 257, np.uint16)).save(gt / "a.png")
    assert f"{gt / 'a.png'} holds label 257" in refused(ValueError, pred, gt)


def test_a_truth_without_a_labelled_pixel_has_no_figures(folders):
    pred, gt = folders
    write(gt, {name: np.full(np.shape(labels), 255) for name, labels in TRUTH.items()})
    assert "none of the 2 label maps of the truth" in refused(ValueError, pred, gt)


def test_more_classes_than_a_label_map_tells_apart(folders):
    with pytest.raises(ValueError, match=r"has 300 classes, but .* can hold 255"):
        evaluate_label_maps(*folders, tuple(map(str, range(300))))
