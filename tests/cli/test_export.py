"""tools/export.py, on the detector that the tests trained."""

from __future__ import annotations

import re
import sys

import pytest
from mmengine.config import Config

from convnext_dense.export import run
from convnext_dense.export.verify import Figures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(trained):
    (config,) = trained["det"].glob("*.py")
    return str(config), str(trained["det"] / "epoch_3.pth")


def test_a_training_becomes_a_file_that_says_what_it_is(cli, detector, shapes, tmp_path):
    out = tmp_path / "model.onnx"
    status, said, err = cli.call(
        "export", [*detector, "-o", str(out), "--verify", str(shapes / "val"), "--accuracy"]
    )
    assert status == 0, err
    assert out.is_file()
    assert re.search(r"epoch_3.pth +exported.onnx +difference\n.*\n +box AP .* [-+]0.00\d\n", said)
    status, told, _ = cli.call("export", ["inspect", str(out)])
    assert status == 0
    assert told.strip() in said  # the same facts
    for fact in ("MaskRCNN: ConvNeXt", "5: circle, square, triangle", "any height and width"):
        assert fact in " ".join(told.split())
    assert "on the grid of each box" in told


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "--out is missing"),
        (["-o", "model.pt"], "--out model.pt does not end in .onnx"),
        (["-o", "model.onnx", "--size", "64"], "--size 64: write height and width"),
        (["-o", "model.onnx", "--size", "64x0"], "--size 64x0: write height and width"),
        (["-o", "model.onnx", "--verify", "none/*.jpg"], "no picture matches none/*.jpg"),
        (["-o", "folder"], "--out folder does not end in .onnx"),
        (
            ["-o", "file/model.onnx"],
            "file is a file, not a folder",
        ),
    ],
)
def test_flags_that_make_no_sense(cli, detector, tmp_path, argv, complaint):
    (tmp_path / "file").write_text("")
    assert complaint in cli.refused("export", [*detector, *argv])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_what_is_wrong_is_said_before_a_folder_is_made(cli, detector, shapes, tmp_path):
    few = str(next((shapes / "val").iterdir()))
    out = ["-o", "new/model.onnx"]
    said = cli.refused("export", [*detector, *out, "--int8", few])
    assert "--int8 names 1 calibration picture, too few" in said
    assert "no checkpoint 'none.pth'" in cli.refused("export", [detector[0], "none.pth", *out])
    assert not list(tmp_path.iterdir())


def test_inspect_takes_no_flags_of_what_is_written(cli):
    said = cli.refused("export", ["inspect", "model.onnx", "--int8", "pictures"])
    assert "--int8 has no meaning after inspect" in said


def test_accuracy_without_data(cli, detector, tmp_path):
    config, checkpoint = detector
    lost = tmp_path / "lost.py"
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.data_root = str(tmp_path / "nowhere")
    cfg.dump(lost)
    said = cli.refused("export", [str(lost), checkpoint, "-o", "model.onnx", "--accuracy"])
    assert "nowhere (test_dataloader.dataset.data_root) does not exist" in said
    assert re.search(r"give the data set's folder by \S* ?test\S* --data-root, or set", said)
    assert [path.name for path in tmp_path.iterdir()] == ["lost.py"]


def test_pictures_in_which_nothing_is_found(cli, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "measure", lambda *args: Figures(pictures=3))
    said = cli.refused("export", [*detector, "-o", "model.onnx"])
    assert "finds nothing" in said
    assert "as --verify" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "there is no"), (b"", "no ONNX file"), (b"\x08\x08", "no ONNX file")],
)
def test_files_that_are_no_model_of_ours(cli, tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    assert complaint in cli.refused("export", ["inspect", "model.onnx"])


def test_a_model_of_others(cli, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    model = helper.make_model(graph)
    onnx.save(model, tmp_path / "model.onnx")
    said = cli.refused("export", ["inspect", "model.onnx"])
    assert "model.onnx is a model that convnext-dense did not export" in said
    helper.set_model_props(model, {"convnext_dense": '{"format": 99}'})
    onnx.save(model, tmp_path / "model.onnx")
    assert "newer" in cli.refused("export", ["inspect", "model.onnx"])


def test_what_is_missing_is_named_with_its_extra(cli, detector, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [n for n in sys.modules if n.startswith("convnext_dense.export.")]:
        monkeypatch.delitem(sys.modules, name)
    said = cli.refused("export", [*detector, "-o", "model.onnx"])
    assert "onnx is not installed: pip install 'convnext-dense[export]'" in said
