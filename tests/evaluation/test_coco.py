"""COCO's figures: computed by hand on a tiny case, and as both backends give them."""

from __future__ import annotations

import contextlib
import io
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from convnext_dense.evaluation.coco import (
    BACKENDS,
    OFFICIAL,
    choose_backend,
    evaluate_coco,
    run_cocoeval,
)
from convnext_dense.evaluation.coco_input import read_results, read_truth

TINY = Path(__file__).parent / "tiny_coco"
INSTALLED = [name for name in BACKENDS if find_spec(name.replace("-", "_"))]
both_backends = pytest.mark.parametrize("backend", INSTALLED)

# What tiny_coco holds. Images 7, 42 and 1000 of 200 x 200 pixels, the last without truth.
#   cat (id 3): 20 x 20 and a crowd of 50 x 50 in image 7; 50 x 50 in image 42.
#     Results by score: 0.9 exact in 7; 0.8 inside the crowd, ignored; 0.7 in 1000, false, 10 x 10;
#     0.6 in 42, box of IoU 0.82, mask of IoU 0.62.
#   dog (id 17): 100 x 100 in image 42 (its `ignore` flag counts for nothing, as in pycocotools).
#     Results: 0.95 in 7, false, 10 x 10; 0.65 in 42, false, 20 x 20; 0.5 in 42, exact.
#   bird (id 90): no truth, one result: its figures are undefined and in no mean.
# Cat where the second match counts: true, false, true of 2 objects: precision 1 at the 51 recalls
# from 0 to 0.50, and 2/3 at the 50 above. Where it does not: 1 at 51 of the 101 recalls.
BOTH, ONE = (51 + 50 * 2 / 3) / 101, 51 / 101
# A box of IoU 0.82 counts at 7 of the 10 thresholds, a mask of 0.62 at 3.
CAT_BOX, CAT_MASK = (7 * BOTH + 3 * ONE) / 10, (3 * BOTH + 7 * ONE) / 10
DOG = 1 / 3  # two false before the true one, at any threshold
EXPECTED = {
    # small: the cat of 20 x 20, found before any false result.
    # medium: the cat of 50 x 50; the false results are small and so ignored. large: the dog.
    # AR1: the one best result per image and class finds both cats but not the dog.
    "bbox": dict(
        AP=(CAT_BOX + DOG) / 2, AP50=(BOTH + DOG) / 2, AP75=(BOTH + DOG) / 2, APs=1, APm=0.7, APl=1,
        AR1=0.85 / 2, AR10=1.85 / 2, AR100=1.85 / 2, ARs=1, ARm=0.7, ARl=1,
    ),
    "segm": dict(
        AP=(CAT_MASK + DOG) / 2, AP50=(BOTH + DOG) / 2, AP75=(ONE + DOG) / 2, APs=1, APm=0.3, APl=1,
        AR1=0.65 / 2, AR10=1.65 / 2, AR100=1.65 / 2, ARs=1, ARm=0.3, ARl=1,
    ),
}  # fmt: skip


@pytest.fixture
def truth():
    return read_truth(TINY / "annotations.json")


@pytest.fixture
def results(truth):
    return read_results(TINY / "results.json", truth, "annotations.json")


@both_backends
def test_figures_are_those_computed_by_hand(truth, results, backend):
    figures = evaluate_coco(results, truth, ("bbox", "segm"), backend=backend)
    expected = {f"{t}_{name}": v for t, values in EXPECTED.items() for name, v in values.items()}
    assert figures.summary == pytest.approx(expected, abs=1e-9)
    cat, dog, bird = figures.per_class
    assert [row["class"] for row in figures.per_class] == ["cat", "dog", "bird"]
    assert [row["objects"] for row in figures.per_class] == [2, 1, 0]
    assert (cat["bbox_AP"], cat["segm_AP"]) == pytest.approx((CAT_BOX, CAT_MASK))
    assert (dog["bbox_AP"], dog["bbox_APl"]) == pytest.approx((DOG, 1))
    assert all(np.isnan(bird[f"{t}_AP{area}"]) for t in EXPECTED for area in ("", "50", "s", "l"))
    assert np.isnan(dog["bbox_APs"])


@both_backends
def test_the_101st_detection_of_an_image_does_not_count(truth, backend):
    false = dict(image_id=42, category_id=17, score=0.9, bbox=[0, 0, 5, 5])
    true = dict(image_id=42, category_id=17, score=0.5, bbox=[50, 50, 100, 100])
    for before, found in ((99, 1), (100, 0)):
        figures = evaluate_coco([false] * before + [true], truth, backend=backend, cat_ids=[17])
        assert figures.summary["bbox_AR100"] == pytest.approx(found)
        assert figures.summary["bbox_AR10"] == 0


@both_backends
def test_an_annotation_of_id_0_can_be_found(truth, results, backend):
    expected = evaluate_coco(results, truth, backend=backend).summary
    truth["annotations"][2]["id"] = 0
    assert evaluate_coco(results, truth, backend=backend).summary == expected


def rename_ids(truth, results, kind, key, rename):
    for entry in truth[kind]:
        entry["id"] = rename(entry["id"])
    for entry in [*truth["annotations"], *results]:
        entry[key] = rename(entry[key])


@pytest.mark.parametrize(
    "rename",
    [
        # The order is kept: of images it decides between equal scores, of categories the rows'.
        lambda own: f"{own:04d}",
        lambda own: f"frame {own:04d}/ä",
        lambda own: own - 50,
        lambda own: own * 10**9,
        float,
    ],
    ids=["digits", "text", "negative", "large", "float"],
)
@both_backends
def test_ids_may_be_any_texts_or_numbers(truth, results, backend, rename):
    expected = evaluate_coco(results, truth, ("bbox", "segm"), backend=backend)
    rename_ids(truth, results, "images", "image_id", rename)
    rename_ids(truth, results, "categories", "category_id", rename)
    figures = evaluate_coco(results, truth, ("bbox", "segm"), backend=backend)
    assert figures.summary == expected.summary
    assert str(figures.per_class) == str(expected.per_class)  # NaN is not equal to itself
    dog = evaluate_coco(results, truth, backend=backend, cat_ids=[rename(17)])
    assert dog.summary["bbox_AP"] == pytest.approx(DOG)


def test_the_images_of_matches_keep_their_own_ids(truth, results):
    rename_ids(truth, results, "images", "image_id", lambda own: f"frame {own}")
    evaluated = run_cocoeval(results, truth, "bbox", "pycocotools", [3])
    assert {one["image_id"] for one in evaluated.evalImgs if one} == {
        "frame 7", "frame 42", "frame 1000"
    }  # fmt: skip


@both_backends
def test_no_results_find_nothing(truth, backend):
    figures = evaluate_coco([], truth, ("bbox", "segm"), backend=backend)
    assert set(figures.summary.values()) == {0.0}


@both_backends
def test_what_is_given_stays_as_it_is(truth, results, backend):
    before = json.dumps([truth, results])
    evaluate_coco(results, truth, ("bbox", "segm"), backend=backend)
    assert json.dumps([truth, results]) == before


def random_case(seed):
    """Objects and results with ties, crowds, near misses and empty images, as boxes and masks."""
    from pycocotools import mask

    rng = np.random.default_rng(seed)
    images = [dict(id=int(i), file_name="", height=300, width=400) for i in rng.permutation(60)]
    categories = [dict(id=i, name=f"c{i}") for i in (2, 3, 11, 40)]

    def rle(box):
        x, y, w, h = box
        corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        found = mask.merge(mask.frPyObjects(corners, 300, 400))
        return dict(size=list(found["size"]), counts=found["counts"].decode())

    def box():
        size = np.exp(rng.uniform(1.5, 5.2, 2))
        return [float(v) for v in (*rng.uniform(0, 200, 2), *size)]

    annotations, results = [], []
    for image in images[:50]:
        for _ in range(rng.integers(0, 8)):
            where = box()
            category = int(rng.choice([2, 3, 11]))
            crowd = int(rng.random() < 0.1)
            found = rle(where)
            about = dict(image_id=image["id"], category_id=category)
            annotations.append(
                about
                | dict(id=len(annotations) + 7, bbox=where, area=where[2] * where[3])
                | dict(iscrowd=crowd, segmentation=found)
            )
            for _ in range(rng.integers(0, 5)):
                near = (np.array(where) * rng.normal(1, 0.08, 4)).tolist()
                score = float(np.round(rng.random(), 1))
                results.append(about | dict(bbox=near, score=score, segmentation=rle(near)))
    for _ in range(100):
        where = box()
        image, category = rng.choice(images), rng.choice(categories)
        about = dict(image_id=image["id"], category_id=category["id"])
        about |= dict(score=float(rng.random()), bbox=where)
        results.append(about | dict(segmentation=rle(where)))
    return dict(images=images, categories=categories, annotations=annotations), results


def pycocotools_alone(truth, results, iou_type, folder):
    """Run pycocotools as its users do, from files."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if iou_type == "segm":
        results = [{k: v for k, v in result.items() if k != "bbox"} for result in results]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "results.json")), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@both_backends
def test_figures_are_those_of_pycocotools(iou_type, backend, tmp_path):
    for seed in range(3):
        truth, results = random_case(seed)
        stats = pycocotools_alone(truth, results, iou_type, tmp_path)
        assert 0.05 < stats[0] < 0.95
        summary = evaluate_coco(results, truth, (iou_type,), backend=backend).summary
        ours = [summary[f"{iou_type}_{name}"] for name, *_ in OFFICIAL]
        exact = backend == "pycocotools"
        assert ours == (stats.tolist() if exact else pytest.approx(stats.tolist(), abs=1e-6))


def test_backend_is_the_fastest_installed(monkeypatch):
    monkeypatch.setattr("convnext_dense.evaluation.coco.find_spec", lambda name: None)
    assert choose_backend() == "pycocotools"
    with pytest.raises(ImportError, match="pip install faster-coco-eval"):
        choose_backend("faster-coco-eval")
    monkeypatch.setattr("convnext_dense.evaluation.coco.find_spec", lambda name: True)
    assert choose_backend() == "faster-coco-eval"
    with pytest.raises(ValueError, match="there is no backend 'cocoapi', choose one of pycoco"):
        choose_backend("cocoapi")


def test_refuses_another_type(truth, results):
    with pytest.raises(ValueError, match="no type 'keypoints', choose from bbox, segm"):
        evaluate_coco(results, truth, ("keypoints",))
