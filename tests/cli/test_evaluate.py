"""What tools/test.py writes, and what it refuses."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convnext_dense.cached_download import place_in_cache
from convnext_dense.download import sha256_of
from convnext_dense.zoo.models import fine_tuned_model

pytestmark = pytest.mark.slow


@pytest.fixture
def detector(trained) -> Path:
    return trained["det"] / "epoch_3.pth"


@pytest.fixture
def segmenter(trained) -> Path:
    return trained["seg"] / "iter_6.pth"


def test_detector_writes_predictions_and_pictures(cli, detector):
    cli.test(
        "det",
        detector,
        *("--work-dir", "w", "--out", "kept/predictions.pkl", "--show-dir", "pictures"),
        # A detector so little trained is sure of nothing.
        options="default_hooks.visualization.score_thr=0.0",
    )
    predictions = pickle.loads(Path("kept/predictions.pkl").read_bytes())
    assert len(predictions) == 4
    for prediction in predictions:
        instances = prediction["pred_instances"]
        assert len(instances["bboxes"]) == len(instances["masks"]) == len(instances["scores"])
    assert any(len(prediction["pred_instances"]["bboxes"]) for prediction in predictions)
    pictures = sorted(Path("pictures").iterdir())
    assert [path.suffix for path in pictures] == [".jpg"] * 4
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (2 * 96, 96)  # truth and prediction side by side


def test_segmenter_writes_labels_and_pictures(cli, ade, segmenter):
    flags = ["--work-dir", "w", "--show-dir", "pictures"]
    cli.test("seg", segmenter, *flags, "--out", "labels")
    written = sorted(Path("labels").iterdir())
    assert [path.name for path in written] == ["0.png", "1.png", "2.png"]
    labels = np.stack([np.array(Image.open(path)) for path in written])
    # As in the label maps, where 0 is unlabelled.
    assert labels.shape == (3, 64, 80)
    assert set(np.unique(labels)) <= {1, 2, 3}
    pictures = [path for path in Path("pictures").rglob("*") if path.suffix in (".png", ".jpg")]
    assert len(pictures) == 3
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (2 * 80, 64)

    cli.test("seg", segmenter, "--work-dir", "w", "--out", "predictions.pkl")
    kept = pickle.loads(Path("predictions.pkl").read_bytes())
    predicted = np.stack([sample["pred_sem_seg"]["data"][0].numpy() for sample in kept])
    assert np.array_equal(predicted + 1, labels)


@pytest.mark.parametrize(
    ("kind", "out", "wanted"),
    [
        ("det", "out.txt", "a .json file in COCO's result format, or a .pkl file, got 'out.txt'"),
        ("seg", "out.json", "a folder for PNGs, or a .pkl file, got 'out.json'"),
    ],
)
def test_refuses_to_write_what_it_cannot(cli, trained, kind, out, wanted):
    checkpoint = next(trained[kind].glob("[ei]*.pth"))
    message = cli.refused("test", cli.argv(kind, checkpoint, "--out", out))
    assert message.startswith("--out takes")
    assert wanted in message


def test_tta_sees_every_picture_at_six_scales_and_flipped(cli, segmenter, monkeypatch):
    from mmseg.models import SegTTAModel

    seen = []
    test_step = SegTTAModel.test_step

    def spy(self, data):
        seen.append([tuple(view.shape[-2:]) for views in data["inputs"] for view in views])
        return test_step(self, data)

    monkeypatch.setattr(SegTTAModel, "test_step", spy)
    said = cli.test("seg", segmenter, "--tta", "--work-dir", "w")
    assert "mIoU" in said
    assert len(seen) == 3
    # The test size is 64 on the short side of 80 x 64, times the published ratios.
    sizes = [(32, 40), (48, 60), (64, 80), (80, 100), (96, 120), (112, 140)]
    assert all(sorted(views) == sorted(2 * sizes) for views in seen)


def test_tta_is_refused_where_a_recipe_has_none(cli, detector):
    message = cli.refused("test", cli.argv("det", detector, "--tta"))
    assert "--tta needs tta_model and tta_pipeline" in message


def test_refuses_a_checkpoint_of_another_arch(cli, segmenter):
    argv = cli.argv("seg", segmenter, options="model.backbone.arch.depths=1,1,2,1")
    message = cli.refused("test", argv)
    assert f"{segmenter} holds arch " in message and "does not fit this model" in message
    assert "missing (backbone.stages.2.1." in message


@pytest.mark.parametrize(("kind", "other"), [("det", "seg"), ("seg", "det")])
def test_refuses_a_checkpoint_of_another_model(cli, trained, kind, other):
    checkpoint = next(trained[other].glob("[ei]*.pth"))
    assert "does not fit this model" in cli.refused("test", cli.argv(kind, checkpoint))


def test_names_the_classes_of_a_checkpoint_for_others(cli, segmenter):
    message = cli.refused("test", cli.argv("seg", segmenter, "--classes", "left,right,disc,more"))
    assert "--classes left,right,disc" in message


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_the_config_of_training_is_left_as_it_was(cli, trained, kind, tmp_path):
    work_dir = tmp_path / "w"
    shutil.copytree(trained[kind], work_dir)
    (config,) = work_dir.glob("*.py")
    before = config.read_text()
    checkpoint = next(work_dir.glob("*.pth"))
    flags = ["--tta"] if kind == "seg" else []
    cli.test(kind, checkpoint, "--work-dir", work_dir, *flags)
    assert config.read_text() == before


def test_says_what_was_written(cli, detector):
    flags = ["--work-dir", "w"]
    said = cli.test("det", detector, *flags)
    assert "figures      w/metrics.json and w/per_class.csv\n" in said
    said = cli.test("det", detector, *flags, options="test_evaluator.metric=proposal")
    assert "figures      w/metrics.json\n" in said
    assert not Path("w/per_class.csv").exists()


def test_refuses_a_config_without_test_data(cli, segmenter):
    argv = cli.argv("seg", segmenter, options="test_dataloader=None")
    message = cli.refused("test", argv)
    assert message.endswith("has nothing to test: set its test_dataloader and test_evaluator")


def test_a_config_that_names_our_metrics_is_tested(cli, segmenter):
    cli.test("seg", segmenter, "--work-dir", "w", options="test_evaluator.type=BenchmarkIoUMetric")


def test_says_where_classes_have_other_names_than_in_training(cli, trained):
    flags = ["--classes", "right,left,disc", "--work-dir", "renamed"]
    status, out, err = cli.call("test", cli.argv("seg", trained["seg"] / "iter_6.pth", *flags))
    assert status == 0, err
    says = "was trained with the classes left instead of right, right instead of left; the figures"
    assert says in out + err


@pytest.fixture
def fails_to_evaluate(monkeypatch):
    """Let every metric's computation fail, as a backend does that cannot take the data."""

    def fail(*args, **kwargs):
        raise TypeError("the backend cannot take it")

    monkeypatch.setattr("convnext_dense.evaluation.coco_metric.evaluate_coco", fail)
    monkeypatch.setattr("mmdet.evaluation.CocoMetric.compute_metrics", fail)
    monkeypatch.setattr("mmseg.evaluation.IoUMetric.compute_metrics", fail)


@pytest.mark.parametrize(
    ("kind", "out", "options"),
    [
        ("det", "kept/results.json", ""),
        ("det", "kept/predictions.pkl", ""),
        ("det", "kept/predictions.pkl", "test_evaluator.metric=proposal"),  # mmdet's own metric
        ("seg", "kept", ""),
        ("seg", "kept/predictions.pkl", ""),
    ],
)
def test_predictions_outlive_an_evaluation_that_fails(
    cli, trained, fails_to_evaluate, kind, out, options
):
    checkpoint = trained[kind] / {"det": "epoch_3.pth", "seg": "iter_6.pth"}[kind]
    status, _, err = cli.call("test", cli.argv(kind, checkpoint, "--out", out, options=options))
    assert status == 1
    said = "TypeError: the backend cannot take it; the predictions"
    assert f"error: {said} until then are in {out}" in err
    if out == "kept":
        assert len(list(Path("kept").iterdir())) == 3
    else:
        read = pickle.loads if out.endswith(".pkl") else json.loads
        assert isinstance(read(Path(out).read_bytes()), list)


def test_metrics_that_fail_come_after_the_one_that_keeps(cli, detector, monkeypatch):
    def fail(*args):
        raise TypeError("it cannot be compared")

    monkeypatch.setattr("mmdet.evaluation.CocoMetric.compute_metrics", fail)
    first = "[dict(type='CocoMetric',metric='proposal',ann_file='{0}'),"
    second = "dict(type='CocoMetric',metric=['bbox','segm'],ann_file='{0}')]"
    truth = Path(cli.flags["det"][1], "annotations/instances_val.json")
    config = Path("two_metrics.py")
    config.write_text(
        f"_base_ = {str(cli.config['det'])!r}\n"
        f"val_evaluator = test_evaluator = {(first + second).format(truth)}"
    )
    _, *argv = cli.argv("det", detector, "--out", "results.json")
    message = cli.refused("test", [str(config), *argv])
    assert "the predictions until then are in results.json" in message
    assert "segmentation" in Path("results.json").read_text()


def test_a_test_that_predicted_nothing_keeps_nothing(cli, detector, monkeypatch):
    monkeypatch.setattr("mmengine.runner.Runner.test", lambda runner: 1 / 0)
    message = cli.refused("test", cli.argv("det", detector, "--out", "results.json"))
    assert message == "ZeroDivisionError: division by zero (--debug shows where)"


def test_openmmlabs_model_is_evaluated_beside_its_own_figures(
    cli, segmenter, tmp_path, monkeypatch
):
    url = fine_tuned_model(cli.config["seg"], "openmmlab")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = place_in_cache(url)
    file.parent.mkdir(parents=True)
    content = cli.load(segmenter)
    content["state_dict"] = {
        name.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv"): value
        for name, value in content["state_dict"].items()
    }
    torch.save(content, file)
    Path(f"{file}.sha256").write_text(f"{sha256_of(file)}  {file.name}\n")
    figures = {}
    for model in ("openmmlab", str(segmenter)):
        argv = cli.argv("seg", "--work-dir", "w")
        status, _, err = cli.call("test", [argv[0], model, *argv[1:]])
        assert status == 0, err
        figures[model] = json.loads(Path("w/metrics.json").read_text())
    ours, theirs = figures[str(segmenter)], figures["openmmlab"]
    assert theirs["metrics"] == ours["metrics"]
    assert theirs["checkpoint"] == url
    assert theirs["published"]["name"] == "UperNet ConvNeXt-T, IN-1K, OpenMMLab"
    assert theirs["published"]["figures"][0]["published"] == 46.11
    assert ours["published"]["figures"][0]["published"] == 46.0
