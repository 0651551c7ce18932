"""tools/test.py and tools/infer.py take exported models, with what they save for checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.shapes import CLASSES

pytestmark = pytest.mark.slow
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


CHECKPOINTS = {"det": "epoch_3.pth", "seg": "iter_6.pth"}


@pytest.fixture(scope="module")
def detector(trained, tmp_path_factory) -> Path:
    return exported("det", trained, tmp_path_factory)


@pytest.fixture(scope="module")
def segmenter(trained, tmp_path_factory) -> Path:
    return exported("seg", trained, tmp_path_factory)


def exported(kind, trained, tmp_path_factory) -> Path:
    """Export a model that the tests trained."""
    from convnext_dense.export.run import export

    file = tmp_path_factory.mktemp("exported") / f"{kind}.onnx"
    export(saved_config(trained, kind), trained[kind] / CHECKPOINTS[kind], file)
    return file


def saved_config(trained, kind) -> str:
    (config,) = trained[kind].glob("*.py")
    return str(config)


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_figures_are_those_of_the_checkpoint(cli, trained, request, kind):
    config, checkpoint = saved_config(trained, kind), trained[kind] / CHECKPOINTS[kind]
    out, name = {"det": ("found.json", "detector"), "seg": ("maps", "segmenter")}[kind]
    file = request.getfixturevalue(name)
    for model in (checkpoint, file):
        argv = [config, str(model), "--work-dir", "w", "--workers", "0", "--out", out]
        argv += ["--show-dir", "shown"] if model != checkpoint else []
        status, said, err = cli.call("test", argv)
        assert status == 0, err
        if model == checkpoint:
            kept = Path("w/metrics.json").read_bytes()
            shutil.move(out, f"checkpoint_{out}")
    figures, before = (json.loads(text) for text in (Path("w/metrics.json").read_bytes(), kept))
    assert figures["checkpoint"] == str(file)
    assert figures["exported_from"] == dict(checkpoint=str(checkpoint), metrics=before["metrics"])
    assert figures["metrics"] == pytest.approx(before["metrics"], abs=1e-3)
    assert checkpoint.name in said and "exported" in said and "+0.000" in said
    assert any(Path("shown").rglob("*.jpg" if kind == "det" else "*.png"))
    if kind == "det":
        found, wanted = (json.loads(Path(name).read_text()) for name in (out, f"checkpoint_{out}"))
        assert len(found) == len(wanted) > 0
        for one, other in zip(found, wanted, strict=True):
            assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)
            assert (one["category_id"], one["image_id"]) == (
                other["category_id"],
                other["image_id"],
            )
    else:
        for one in Path(out).iterdir():
            pair = [
                np.asarray(Image.open(folder / one.name))
                for folder in (Path(out), Path(f"checkpoint_{out}"))
            ]
            assert (pair[0] == pair[1]).mean() >= 0.9999


def test_a_second_test_still_knows_the_checkpoint(cli, trained, detector):
    about = dict(checkpoint="somewhere/epoch_3.pth", images=4, metrics=dict(bbox_AP=0.5))
    Path("w").mkdir()
    Path("w/metrics.json").write_text(json.dumps(about))
    argv = [saved_config(trained, "det"), str(detector), "--work-dir", "w", "--workers", "0"]
    for _ in range(2):
        assert cli.call("test", argv)[0] == 0
        written = json.loads(Path("w/metrics.json").read_text())
        assert written["exported_from"]["metrics"] == dict(bbox_AP=0.5)
    assert cli.call("test", [*argv, "--limit", "2"])[0] == 0
    assert "exported_from" not in json.loads(Path("w/metrics.json").read_text())


def test_pictures(cli, detector, segmenter, shapes):
    status, out, err = cli.call(
        "infer",
        [
            str(detector),
            *("--score", "0.01"),
            str(shapes / "val"),
            *("--save", "pictures,json,masks"),
        ],
    )
    assert status == 0, err
    assert "CPUExecutionProvider" in out and "4 of 4 pictures" in out
    for kind, suffix in (("pictures", "jpg"), ("json", "json"), ("masks", "png")):
        assert len(list(Path("predictions", kind).glob(f"*.{suffix}"))) == 4
    said = json.loads(next(Path("predictions/json").iterdir()).read_text())
    assert said["names"] and set(said["names"]) <= set(CLASSES)
    pictures = [str(segmenter), *map(str, (shapes / "val").iterdir())]
    assert cli.call("infer", [*pictures, "-o", "maps", "--save", "masks"])[0] == 0
    assert len(list(Path("maps/masks").iterdir())) == 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tta"], "--tta cannot change"),
        (["--backbone", "atto"], "--backbone cannot change"),
        (["--launcher", "pytorch"], "--launcher pytorch: an exported model is tested by one"),
        (["--img-size", "64"], "--img-size 64 makes pictures 107 x 64, but"),
        (["--classes", "a,b"], "has 5 classes, the data has 2"),
        (["--classes", "circle,square,star,triangle,ring"], "the class 'triangle' where the data"),
    ],
)
def test_what_a_test_refuses(cli, trained, detector, flags, said):
    argv = [saved_config(trained, "det"), str(detector), "--workers", "0", *flags]
    assert said in cli.refused("test", argv)
    assert not Path("work_dirs").exists() or not list(Path("work_dirs").rglob("metrics.json"))


def test_a_model_of_another_task_is_refused(cli, trained, segmenter):
    argv = [saved_config(trained, "det"), str(segmenter)]
    assert "is a model of segmentation, but" in cli.refused("test", argv)


def test_options_of_the_model_are_said_not_to_matter(cli, detector):
    said = cli.test("det", detector, "--work-dir", "w", "--workers", "0")
    assert "do not change an exported model" in " ".join(said.split())


@pytest.mark.parametrize(
    "flags",
    [
        ["--img-size", "64"],
        ["--classes", "a,b"],
        ["--box-only"],
        ["--backbone", "atto"],
        ["--recipe", "convnext"],
        ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.5"],
        ["--force-key", "a"],
    ],
)
def test_what_infer_refuses(cli, detector, shapes, flags):
    argv = [str(detector), str(shapes / "val"), *flags]
    assert f"{flags[0]} cannot change" in cli.refused("infer", argv)


def test_a_model_that_cannot_be_used_leaves_no_folder(cli, shapes, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(b"cut")
    said = cli.refused("infer", ["cut.onnx", str(shapes / "val"), "-o", "found"])
    assert "cut.onnx is damaged, cut off, or no ONNX file" in said
    assert not Path("found").exists()


def test_an_exported_model_stands_alone(cli, trained, detector, shapes):
    argv = [saved_config(trained, "det"), str(detector), str(shapes / "val")]
    assert "it needs no" in cli.refused("infer", argv)
    for tool, argv in (
        ("infer", ["none.onnx", str(shapes / "val")]),
        ("test", [saved_config(trained, "det"), "none.onnx"]),
    ):
        assert cli.refused(tool, argv) == "there is no model none.onnx"


def test_openvino_files(cli, trained, segmenter, shapes):
    openvino = pytest.importorskip("openvino")
    from convnext_dense_runtime import read_metadata
    from convnext_dense_runtime.metadata import KEY

    model = openvino.Core().read_model(segmenter)
    model.set_rt_info(read_metadata(segmenter).to_json(), KEY)
    openvino.save_model(model, "seg.xml", compress_to_fp16=False)
    argv = [saved_config(trained, "seg"), "seg.xml", "--work-dir", "w", "--workers", "0"]
    status, said, err = cli.call("test", argv)
    assert status == 0, err
    assert "OpenVINO" in said and "mIoU" in said
    assert cli.call("infer", ["seg.xml", str(shapes / "val"), "--save", "masks"])[0] == 0
