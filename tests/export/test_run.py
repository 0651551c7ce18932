"""A trained model becomes a file that says what it is, or nothing at all."""

import dataclasses

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config

from convnext_dense.export import onnx_file, run
from convnext_dense.export.operators import OPSET
from convnext_dense.export.run import export
from convnext_dense.export.verify import DifferentError, Figures, UnstableError
from convnext_dense.version import __version__
from convnext_dense_runtime import Model, read_metadata

from .tiny import CLASSES

pytestmark = pytest.mark.slow
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
MASK_RCNN = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    config, checkpoint = trained(RETINANET)
    out = tmp_path_factory.mktemp("exported") / "model.onnx"
    return out, export(config, checkpoint, out)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (61, 140, 3), np.uint8))
    return path


def test_the_file_says_what_it_is(exported):
    out, metadata = exported
    read = read_metadata(out)
    assert read == metadata
    assert (read.task, read.classes, read.channels) == ("detection", CLASSES, "BGR")
    assert len(read.palette) == len(CLASSES)
    assert (read.resize.scale, read.resize.keep_ratio, read.resize.turned) == (
        (128, 96),
        True,
        True,
    )
    assert (read.divisor, read.size, read.smallest, read.pad) == (32, None, (1, 1), None)
    assert (read.score, read.masks, read.sliding) == (0.05, None, None)
    assert read.source == "epoch_1.pth, config"
    assert read.model.startswith("RetinaNet: ConvNeXt atto, FPN, RetinaHead")
    assert read.versions["convnext-dense"] == __version__
    assert read.versions["torch"] == torch.__version__
    assert read.verification["pictures"] == 3
    assert read.verification["found"] > 10
    assert read.verification["box"] < 1e-2


def test_the_runtime_finds_what_the_predictor_finds(exported, trained, picture):
    from convnext_dense import Predictor

    wanted = Predictor(*map(str, trained(RETINANET)))(picture)[0]
    got = Model(exported[0])(picture)[0]
    np.testing.assert_allclose(got.scores, wanted.scores, atol=1e-5)
    np.testing.assert_allclose(got.boxes, wanted.boxes, atol=1e-3)
    assert np.array_equal(got.labels, wanted.labels)


@pytest.mark.long
def test_a_fixed_size(trained, tmp_path, picture):
    out = tmp_path / "model.onnx"
    metadata = export(*trained(MASK_RCNN), out, size=(75, 90), verify=[str(picture)])
    assert metadata.size == metadata.smallest == metadata.pad.size == (75, 90)
    # What is empty becomes 0 by normalisation.
    assert metadata.pad.value == pytest.approx((123.675, 116.28, 103.53)[::-1], abs=1e-3)
    assert metadata.verification["pictures"] == 4
    shape = onnx.load(out).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in shape] == [1, 3, 75, 90]
    found = Model(out)(picture)[0]
    assert found.masks.shape[1:] == (61, 140)


@pytest.mark.long
def test_pictures_are_compared_at_their_own_size(trained, tmp_path, picture, monkeypatch):
    sizes = []
    measure = run.measure

    def record(graph, network, pictures, cut_off):
        pictures = list(pictures)
        sizes.extend(one.values.shape[2:] for one in pictures)
        return measure(graph, network, pictures, cut_off)

    monkeypatch.setattr(run, "measure", record)
    export(*trained(RETINANET), tmp_path / "model.onnx", verify=[str(picture)])
    assert len(set(sizes)) == 4
    assert sizes[-1] == (56, 128)  # 61 x 140 in 96 x 128
    assert run.traced_size(read_metadata(tmp_path / "model.onnx")) not in sizes


def spoil(graph, path, *args, **kwargs):
    """Write a model whose scores are halved."""
    write(graph, path, *args, **kwargs)
    model = onnx.load(path)
    model.graph.output[1].name = "half"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "one_half"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["scores", "one_half"], ["half"]))
    onnx.save(model, path)


write = onnx_file.write_onnx


@pytest.mark.parametrize("earlier", [None, b"an earlier file"])
def test_a_failure_leaves_nothing_under_the_name(trained, tmp_path, monkeypatch, earlier):
    out = tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    if earlier:
        out.write_bytes(earlier)
    monkeypatch.setattr(run, "write_onnx", spoil)
    with pytest.raises(DifferentError, match=r"^RetinaNet: .* of 40 detections have no counter"):
        export(*trained(RETINANET), out)
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"] * bool(earlier)
    assert not earlier or out.read_bytes() == earlier


def unstable(failing, count):
    """Return a comparison in whose first ``failing`` calls PyTorch differs from itself."""

    def compare(graph, exported, pictures, cut_off):
        count.append([picture.values.sum() for picture in pictures])
        if len(count) <= failing:
            raise UnstableError("PyTorch differs from itself")
        return measure(graph, exported, [], cut_off) + Figures(3, 10)

    return compare


measure = run.measure


@pytest.mark.parametrize("failing", [2, run.TRIALS])
def test_other_pictures_where_pytorch_differs_from_itself(trained, tmp_path, monkeypatch, failing):
    seen = []
    monkeypatch.setattr(run, "measure", unstable(failing, seen))
    out = tmp_path / "model.onnx"
    if failing < run.TRIALS:
        assert export(*trained(RETINANET), out).verification["pictures"] >= 3
    else:
        with pytest.raises(UnstableError):
            export(*trained(RETINANET), out)
    assert out.exists() == (failing < run.TRIALS)
    generated = [sums for sums in seen if sums]
    assert len(generated) == len({tuple(sums) for sums in generated}) == min(failing + 1, 4)


def test_a_model_that_finds_nothing_fails(trained, tmp_path):
    config, checkpoint = trained(RETINANET)
    content = torch.load(checkpoint)
    content["state_dict"]["bbox_head.retina_cls.bias"] -= 100
    torch.save(content, tmp_path / "blind.pth")
    with pytest.raises(DifferentError, match=r"finds nothing in the pictures .* `verify`"):
        export(config, tmp_path / "blind.pth", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def refused(trained, tmp_path, error, *, edit=lambda cfg: None, name=RETINANET, **options):
    """Return the message with which an export is refused, which must leave no file."""
    config, checkpoint = trained(name)
    cfg = Config.fromfile(config)
    edit(cfg)
    out = options.pop("out", tmp_path / "model.onnx")
    with pytest.raises(error) as caught:
        export(cfg, options.pop("checkpoint", checkpoint), out, **options)
    assert not (tmp_path / "model.onnx").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_checkpoint_of_another_config(trained, tmp_path):
    other = trained(MASK_RCNN).checkpoint
    message = refused(trained, tmp_path, RuntimeError, checkpoint=other)
    assert "does not fit this model" in message


def test_a_transform_that_cannot_be_repeated(trained, tmp_path):
    def edit(cfg):
        cfg.test_dataloader.dataset.pipeline[1] = dict(type="RandomFlip", prob=1.0)

    # Before any work: there is no such checkpoint.
    message = refused(trained, tmp_path, ValueError, edit=edit, checkpoint="none.pth")
    assert "RandomFlip(prob=1.0), which cannot be exported: LoadImageFromFile, Resize" in message


@pytest.mark.parametrize("head", ["YOLOXHead", "DDQDETRHead"])
def test_an_unsupported_head(trained, tmp_path, head):
    def edit(cfg):
        cfg.model.bbox_head = dict(type=head, num_classes=5, in_channels=64)

    message = refused(trained, tmp_path, ValueError, edit=edit, checkpoint="none.pth")
    assert message.startswith(f"model.bbox_head {head} cannot be exported: it has its own code")


def test_a_suppression_that_cannot_be_exported(trained, tmp_path):
    def edit(cfg):
        cfg.model.test_cfg.nms = dict(type="nms_match", iou_threshold=0.5)

    message = refused(trained, tmp_path, ValueError, edit=edit, checkpoint="none.pth")
    assert "test_cfg.nms.type='nms_match' cannot be exported" in message


@pytest.mark.parametrize("size", [(0, 64), (64, 10**6)])
def test_a_size_that_the_model_cannot_take(trained, tmp_path, size):
    message = refused(trained, tmp_path, ValueError, size=size)
    assert f"`size` is {size[0]} x {size[1]}: the model takes height and width from 1" in message


def test_another_suffix(trained, tmp_path):
    message = refused(trained, tmp_path, ValueError, out=tmp_path / "model.bin")
    assert "model.bin" in message


def test_a_code_that_cannot_be_traced(trained, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no\n  such operator" + " x" * 500)

    monkeypatch.setattr(torch.onnx, "export", fail)
    message = refused(trained, tmp_path, ValueError)
    assert message.startswith("RetinaNet: ConvNeXt atto, FPN, RetinaHead: torch cannot export it")
    assert len(message) < 400


def test_more_weights_than_a_file_holds(exported, tmp_path, monkeypatch):
    """Weights above a limit are a second file, which is found from any folder."""
    source, metadata = exported
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(onnx_file, "LARGEST", 10**5)
    out = tmp_path / "moved" / "large.onnx"
    onnx_file.save_model(source, out, dataclasses.replace(metadata, source="large"))
    assert sorted(path.name for path in out.parent.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert out.stat().st_size < 10**6
    moved = out.parent.rename(tmp_path / "again") / "large.onnx"
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    wanted, got = Model(source)(image)[0], Model(moved)(image)[0]
    assert np.array_equal(got.scores, wanted.scores)
    assert read_metadata(moved).source == "large"


@pytest.mark.long
def test_more_weights_than_protobuf_allows(exported, tmp_path):
    """Some functions of protobuf fail above 2 GB, which a lower limit does not show."""
    _, metadata = exported
    names, shape = ("first", "second"), (2**18, 2**10)
    weights = [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name in names]
    outputs = [
        onnx.helper.make_tensor_value_info(f"{name}_row", onnx.TensorProto.FLOAT, (1, shape[1]))
        for name in names
    ]
    rows = onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.INT64, (1,))
    nodes = [onnx.helper.make_node("Gather", [name, "rows"], [f"{name}_row"]) for name in names]
    graph = onnx.helper.make_graph(nodes, "large", [rows], outputs, weights)
    opset = onnx.helper.make_opsetid("", OPSET)
    source, out = tmp_path / "source.onnx", tmp_path / "large.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10),
        source,
        save_as_external_data=True,
    )

    onnx_file.save_model(source, out, metadata)

    assert read_metadata(out) == metadata
    found = onnxruntime.InferenceSession(out).run(None, {"rows": np.array([shape[0] - 1])})
    assert all((row == 1).all() for row in found)
