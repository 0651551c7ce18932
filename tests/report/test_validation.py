"""Predictions beside the truth: hand-computed scores, confusion and the choice of pictures."""

from __future__ import annotations

import base64
import json
import os

import cv2
import numpy as np
import pytest

from convnext_dense.evaluation.label_maps import evaluate_label_maps
from convnext_dense.report.plots import confusions
from convnext_dense.report.run import read_run
from convnext_dense.report.task import class_colours
from convnext_dense.report.validation import (
    SIDE,
    ReportOptions,
    choose_pictures,
    data_uri,
    pick_evenly,
    validate,
)


def look(made, **options):
    return validate(read_run(made.folder), ReportOptions(**options), lambda done, of: None)


@pytest.mark.slow
def test_kept_results_of_a_detector(detector):
    seen = look(detector)
    assert seen.source == "results.json, kept by a test"
    assert (seen.images, seen.of) == (4, 4)
    # 2 of 2; 1 of 2, the other too unsure; a false alarm. Nothing is where nothing is found: none.
    assert seen.outcome.scores == pytest.approx({30: 1.0, 10: 2 / 3, 20: 0.0})
    # `other` is no class of the model. Cats: 0.9 right, 0.7 right, 0.6 wrong: AP 1.
    assert seen.outcome.figures.per_class[0]["class"] == "cat"
    assert [row["objects"] for row in seen.outcome.figures.per_class] == [2, 2]
    assert seen.outcome.figures.summary["bbox_AP"] == pytest.approx(1)
    (curves,) = seen.outcome.curves
    assert curves.kind == "bbox"  # the results have no masks
    assert curves.half == pytest.approx(np.ones(101))
    assert [one.name for one in seen.groups["best"]] == ["30.png", "10.png"]
    assert [one.name for one in seen.groups["worst"]] == ["20.png"]


@pytest.mark.slow
def test_the_results_of_the_last_test_come_before_newer_files(detector):
    (detector.folder / "other.json").write_text("[]")
    for name, when in (("results.json", 10), ("other.json", 20)):
        os.utime(detector.folder / name, (when, when))
    assert look(detector).source.startswith("other.json")
    tested = dict(metrics=dict(bbox_AP=0.5), predictions=["elsewhere/results.json"])
    (detector.folder / "metrics.json").write_text(json.dumps(tested))
    assert look(detector).source.startswith("results.json")


@pytest.mark.slow
def test_predictions_of_another_checkpoint_are_called_so(detector):
    tested = dict(metrics=dict(bbox_AP=0.5), checkpoint="old/epoch_1.pth")
    (detector.folder / "metrics.json").write_text(json.dumps(tested))
    assert look(detector).notes == ["these are predictions of epoch_1.pth, not of epoch_2.pth"]


@pytest.mark.slow
def test_precision_falls_where_a_surer_object_is_wrong(detector):
    file = detector.folder / "results.json"
    results = json.loads(file.read_text())
    results[-1]["score"] = 0.95  # the false alarm is now the surest cat
    file.write_text(json.dumps(results))
    (curves,) = look(detector).outcome.curves
    # Of cats 1/2 at recall 1/2, 2/3 at recall 1, made monotonic; of the others 1.
    assert curves.half == pytest.approx(np.full(101, (2 / 3 + 1) / 2))


@pytest.mark.slow
def test_kept_label_maps_of_a_segmenter(segmenter, tmp_path):
    seen = look(segmenter)
    assert seen.source == "labels, kept by a test"
    # 36 labelled columns, 10 rows per class and picture; of the second's sky half is lost.
    expected = [[540, 0, 180, 0], [0, 720, 0, 0], [0, 0, 720, 0]]
    assert seen.outcome.confusion.tolist() == expected
    second = 100 * np.mean([1 / 2, 1, 360 / 540])
    assert list(seen.outcome.scores.values()) == pytest.approx([100, second])
    assert confusions(seen.outcome.confusion, seen.classes) == [("sky", "road", 0.25)]
    files = evaluate_label_maps(
        segmenter.folder / "labels", tmp_path / "ade/annotations", seen.classes,
        reduce_zero_label=True,
    )  # fmt: skip
    assert seen.outcome.figures == files


@pytest.mark.slow
def test_kept_label_maps_of_images_in_folders(segmenter, tmp_path):
    before = list(look(segmenter).outcome.scores.values())
    for folder in (
        tmp_path / "ade/images",
        tmp_path / "ade/annotations",
        segmenter.folder / "labels",
    ):
        for name in ("one", "two"):
            (folder / name).mkdir()
            (folder / f"{name}.png").rename(folder / name / "0.png")
    assert list(look(segmenter, predict=False).outcome.scores.values()) == before


@pytest.mark.slow
def test_pixels_predicted_as_unlabelled_are_misses(segmenter, tmp_path):
    file = segmenter.folder / "labels" / "two.png"
    labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    labels[:5] = 0
    cv2.imwrite(str(file), labels)
    seen = look(segmenter)
    assert seen.outcome.confusion[0].tolist() == [540, 0, 0, 180]
    files = evaluate_label_maps(
        segmenter.folder / "labels", tmp_path / "ade/annotations", seen.classes,
        reduce_zero_label=True,
    )  # fmt: skip
    assert seen.outcome.figures == files


@pytest.mark.slow
def test_pictures_hold_truth_and_prediction(segmenter):
    (best,) = look(segmenter, shown=1).groups["worst"]

    def decoded(uri):
        data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)

    truth, prediction = decoded(best.truth), decoded(best.prediction)
    scale = truth.shape[0] / 30
    where = slice(int(1 * scale), int(4 * scale)), slice(int(10 * scale), int(35 * scale))
    blue, _, red = truth[where].mean((0, 1))
    assert red > blue + 80  # sky
    blue, _, red = prediction[where].mean((0, 1))
    assert blue > red + 80  # taken for road


def test_predictions_that_do_not_fit_are_told(detector):
    file = detector.folder / "results.json"
    file.write_text(json.dumps([dict(image_id=99, category_id=5, bbox=[0, 0, 1, 1], score=1)]))
    with pytest.raises(
        RuntimeError, match=r"`predict=False`: .* 1 of 1 results have an unknown image_id"
    ):
        look(detector, predict=False)


@pytest.mark.slow
def test_what_is_missing_is_named(detector, segmenter, tmp_path):
    (detector.folder / "results.json").unlink()
    (detector.folder / "epoch_2.pth").unlink()
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        look(detector)
    with pytest.raises(RuntimeError, match="`predict=False`"):
        look(detector, predict=False)
    (tmp_path / "ade").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"data root .*ade"):
        look(segmenter)
    assert look(segmenter, data_root=str(tmp_path / "moved")).images == 2


def test_the_choice_of_pictures():
    scores = {name: value for value, name in enumerate("abcdefg")}
    chosen = choose_pictures(scores, 3)
    assert (chosen["best"], chosen["worst"]) == (["g", "f", "e"], ["a", "b", "c"])
    assert len(set(chosen["random"])) == 3
    assert (
        choose_pictures({name: -value for name, value in scores.items()}, 3)["random"]
        == chosen["random"]
    )
    few = choose_pictures(dict(a=1, b=2, c=3), 4)
    assert (few["best"], few["worst"]) == (["c", "b"], ["a"])
    assert choose_pictures({}, 3) == dict(best=[], worst=[], random=[])


@pytest.mark.parametrize("number", [1, 3, 7, 100])
def test_a_part_is_spread_evenly(number):
    places = pick_evenly(range(7), number)
    assert len(places) == min(number, 7)
    assert len(set(np.diff(places))) <= 2
    assert places == sorted(set(places))


def test_colours_are_those_of_the_data_set_or_differ():
    own = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    assert class_colours(dict(classes=("a", "b"), palette=own)) == own[:2]
    for other in (dict(palette=own), dict(palette="random"), {}):
        found = class_colours(dict(classes=("a", "b", "c", "d")) | other)
        assert len(set(found)) == 4


def test_pictures_are_bounded_in_size():
    uri = data_uri(np.zeros((3000, 200, 3), np.uint8))
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (SIDE, 43)
