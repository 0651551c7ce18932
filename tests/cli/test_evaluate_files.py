"""tools/evaluate.py, and the files of tools/test.py that it evaluates again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "evaluation" / "tiny_coco"
FILES = [str(TINY / "results.json"), str(TINY / "annotations.json")]


def figures(folder: str) -> tuple[dict, list[dict]]:
    with (Path(folder) / "per_class.csv").open(newline="") as file:
        return json.loads((Path(folder) / "metrics.json").read_text()), list(csv.DictReader(file))


def evaluate(cli, *argv):
    status, out, err = cli.call("evaluate", list(map(str, argv)))
    assert status == 0, err
    return out


def test_detections_are_evaluated_again_with_equal_figures(cli, trained, shapes):
    truth = shapes / "annotations" / "instances_val.json"
    # A detector so little trained finds little: another truth would not show in its figures.
    said = cli.test(
        "det",
        trained["det"] / "epoch_3.pth",
        *("--work-dir", "w", "--out", "kept/results.json"),
        options="model.test_cfg.rcnn.score_thr=0.0",
    )
    results = json.loads(Path("kept/results.json").read_text())
    assert {frozenset(result) for result in results} == {
        frozenset(("image_id", "category_id", "score", "bbox", "segmentation"))
    }
    before, rows = figures("w")
    assert before["images"] == 4
    assert len(before["metrics"]) == 24
    assert [row["class"] for row in rows] == ["circle", "square", "triangle", "star", "ring"]
    evaluate(cli, "coco", "kept/results.json", truth, "-o", "again")
    after, rows_after = figures("again")
    assert after["metrics"] == before["metrics"]
    assert rows_after == rows
    assert "published: Mask R-CNN ConvNeXt-T, IN-1K" in said
    assert "not comparable: --classes; --img-size; --cfg-options model; 4 images" in said
    assert before["published"]["figures"][0]["published"] == 46.2


def test_ids_that_are_texts_lose_nothing(cli, trained, shapes):
    root = shutil.copytree(shapes, Path("texts"))
    truth = root / "annotations" / "instances_val.json"
    content = json.loads(truth.read_text())
    for kind, link in (("images", "image_id"), ("categories", "category_id")):
        for record in content[kind]:
            record["id"] = f"no. {record['id']}"
        for annotation in content["annotations"]:
            annotation[link] = f"no. {annotation[link]}"
    truth.write_text(json.dumps(content))
    flags = ["--data-root", root, "--work-dir", "w", "--out", "results.json"]
    options = "model.test_cfg.rcnn.score_thr=0.0"
    cli.test("det", trained["det"] / "epoch_3.pth", *flags, options=options)
    for backend in ("pycocotools", "faster-coco-eval"):
        evaluate(cli, "coco", "results.json", truth, "-o", "again", "--backend", backend)
        before, after = figures("w")[0]["metrics"], figures("again")[0]["metrics"]
        assert after == pytest.approx(before, abs=1e-6)
    assert before["bbox_AR100"] > 0


def test_boxes_alone(cli, trained, shapes):
    results = Path("results.json")
    boxes = [dict(image_id=1, category_id=1, score=0.5, bbox=[0, 0, 40, 40])]
    results.write_text(json.dumps(boxes))
    truth = shapes / "annotations" / "instances_val.json"
    out = evaluate(cli, "coco", results, truth)
    assert "box" in out
    assert "mask" not in out
    message = cli.refused("evaluate", ["coco", "results.json", str(truth), "--type", "segm"])
    assert "1 of 1 results have no segmentation, which --type segm needs" in message


@pytest.mark.parametrize("tta", [[], ["--tta"]], ids=["", "tta"])
def test_label_maps_are_evaluated_again_with_equal_figures(cli, trained, ade, tta):
    cli.test("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w", "--out", "labels", *tta)
    truth = ade / "annotations" / "validation"
    flags = ["--reduce-zero-label", "--classes", "left,right,disc", "-o", "again"]
    evaluate(cli, "ade20k", "labels", truth, *flags)
    before, rows = figures("w")
    after, rows_after = figures("again")
    assert after["metrics"] == before["metrics"]
    assert set(before["metrics"]) == {"mIoU", "mAcc", "aAcc"}
    assert rows_after == rows
    assert [row["class"] for row in rows] == ["left", "right", "disc"]


@pytest.fixture
def nested(ade) -> Path:
    """The data set of label maps, its validation images one a folder and all of one name."""
    root = shutil.copytree(ade, Path("nested"))
    for file in [*root.glob("images/validation/*"), *root.glob("annotations/validation/*")]:
        folder = file.with_suffix("")
        folder.mkdir()
        file.rename(folder / f"same{file.suffix}")
    return root


def test_label_maps_of_images_in_folders(cli, trained, ade, nested):
    checkpoint = trained["seg"] / "iter_6.pth"
    cli.test("seg", checkpoint, "--work-dir", "flat")
    cli.test("seg", checkpoint, "--data-root", nested, "--work-dir", "w", "--out", "labels")
    written = sorted(path.as_posix() for path in Path("labels").rglob("*.png"))
    assert written == ["labels/0/same.png", "labels/1/same.png", "labels/2/same.png"]
    flags = ["--reduce-zero-label", "--classes", "left,right,disc", "-o", "again"]
    evaluate(cli, "ade20k", "labels", nested / "annotations/validation", *flags)
    assert figures("again")[0]["metrics"] == figures("flat")[0]["metrics"]


def test_drawings_of_one_name_are_refused(cli, trained, shapes, nested):
    checkpoint = trained["seg"] / "iter_6.pth"
    argv = cli.argv("seg", checkpoint, "--data-root", nested, "--show-dir", "drawn")
    assert "0/same.jpg and nested" in cli.refused("test", argv)

    root = shutil.copytree(shapes, Path("cameras"))
    file = root / "annotations/instances_val.json"
    truth = json.loads(file.read_text())
    for image in truth["images"]:
        (root / "val" / str(image["id"])).mkdir()
        name = f"{image['id']}/same.jpg"
        (root / "val" / image["file_name"]).rename(root / "val" / name)
        image["file_name"] = name
    file.write_text(json.dumps(truth))
    flags = ["--data-root", root, "--show-dir", "drawn"]
    message = cli.refused("test", cli.argv("det", trained["det"] / "epoch_3.pth", *flags))
    assert "would both be written as same.jpg; tools/infer.py draws" in message


def test_prints_the_official_table_and_the_classes(cli):
    out = evaluate(cli, "coco", *FILES, "--per-class", "--backend", "pycocotools")
    assert "8 results, 3 images, pycocotools" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.split()}
    assert rows["AP"] == ["0.50:0.95", "all", "100", "0.535", "0.469"]
    assert rows["AR1"] == ["0.50:0.95", "all", "1", "0.425", "0.325"]
    assert rows["cat"][:2] == ["2", "0.736"]
    assert rows["bird"] == ["0", *["-"] * 12]
    one = evaluate(cli, "coco", *FILES, "--type", "segm")
    assert "mask" in one
    assert "box" not in one


def test_classes_choose_the_categories(cli):
    out = evaluate(cli, "coco", *FILES, "--type", "bbox", "--classes", "dog")
    (ap,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["AP"])
    assert ap[-1] == "0.333"
    message = cli.refused("evaluate", ["coco", *FILES, "--classes", "cow"])
    assert message.endswith("has no category 'cow'; it has cat, dog, bird")


def test_ade20k_has_150_classes(cli, tmp_path):
    for folder in ("pred", "gt"):
        Path(folder).mkdir()
        Image.fromarray(np.full((4, 4), 150, np.uint8)).save(f"{folder}/1.png")
    out = evaluate(cli, "ade20k", "pred", "gt", "--reduce-zero-label", "--per-class")
    assert "1 label maps, 150 classes" in out
    assert "100.00" in next(line for line in out.splitlines() if "flag" in line)
    message = cli.refused("evaluate", ["ade20k", "pred", "gt"])
    assert "labels out of range: 150" in message
    assert message.endswith("give --reduce-zero-label")


def test_errors_are_one_line(cli, tmp_path):
    assert "no result file nowhere.json" in cli.refused(
        "evaluate", ["coco", "nowhere.json", FILES[1]]
    )
    assert "no annotation file gt.json" in cli.refused("evaluate", ["coco", FILES[0], "gt.json"])
    Path("half.json").write_text(Path(FILES[0]).read_text()[:300])
    assert "interrupted" in cli.refused("evaluate", ["coco", "half.json", FILES[1]])
    mixed = json.loads(Path(FILES[0]).read_text())
    del mixed[0]["bbox"], mixed[1]["segmentation"]
    Path("mixed.json").write_text(json.dumps(mixed))
    message = cli.refused("evaluate", ["coco", "mixed.json", FILES[1]])
    assert "7 of 8 have a bbox, 7 of 8 have a segmentation" in message
    assert "no folder pred" in cli.refused("evaluate", ["ade20k", "pred", "gt"])


def test_help_has_an_example(cli, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.load_tool("evaluate").main(["--help"])
    assert "tools/evaluate.py coco results.json" in capsys.readouterr().out


def test_a_full_disk_leaves_what_was_there(cli, trained, monkeypatch):
    Path("w").mkdir()
    Path("w/metrics.json").write_text("earlier")

    def full(path, content):
        raise OSError(f"could not write {path}: No space left on device")

    monkeypatch.setattr("convnext_dense.evaluation.figures.write_whole", full)
    argv = cli.argv("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w")
    status, out, err = cli.call("test", argv)
    assert status == 1
    assert "error: could not write w/metrics.json: No space left" in err
    assert "mIoU" in out  # what hours have cost is not lost
    assert Path("w/metrics.json").read_text() == "earlier"
