"""Each family of detectors: plain torch under the replacements, and ONNX Runtime, equal mmdet."""

import numpy as np
import onnx
import pytest
import torch

from benchmarks.random_weights import settle_norms
from convnext_dense.export.families import refuse
from convnext_dense.export.graph import make_graph
from convnext_dense.export.onnx_file import write_onnx
from convnext_dense.export.pictures import generate
from convnext_dense.export.replacements import exportable
from convnext_dense.export.verify import Picture, compare, onnxruntime_of

from .tiny import build, tiny_config

pytestmark = pytest.mark.slow
FAMILIES = {
    "faster": "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask": "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "cascade": "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "htc": "mmdet::htc/htc_r50_fpn_1x_coco.py",
    "retinanet": "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    "fcos": "mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
    "atss": "mmdet::atss/atss_r50_fpn_1x_coco.py",
    "fsaf": "mmdet::fsaf/fsaf_r50_fpn_1x_coco.py",
    "gfl": "mmdet::gfl/gfl_r50_fpn_1x_coco.py",
    "rtmdet": "mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py",
}
# What a family's config is changed by.
CHANGES = {"soft": {"model.test_cfg.rcnn.nms": dict(type="soft_nms", iou_threshold=0.5)}}
FAMILIES["soft"] = FAMILIES["mask"]
# Families that make test has time for.
SHORT = ("mask", "retinanet")
TRACED = (64, 96)
# One is smaller than the traced size, and none but RTMDet's are multiples of 32: mmdet does not pad
# for it.
SIZES = ((96, 133), (150, 75), (50, 70))
MULTIPLES = ((96, 128), (160, 96), (32, 64))


def make(family):
    """Return the graph of a tiny detector."""
    cfg = tiny_config(FAMILIES[family], **CHANGES.get(family, {}))
    refuse(cfg)
    graph = make_graph(build(cfg))
    # Without it, RTMDet's scores and boxes are nearly all 0. Smaller maps say too little.
    settle_norms(graph, torch.from_numpy(generate((256, 320), 3, seed=0)))
    return graph


@pytest.fixture(scope="module")
def built():
    """Return a function that builds a family's tiny model once."""
    models = {}

    def get(family):
        if family not in models:
            models[family] = make(family)
        return models[family]

    return get


def sizes(family):
    return MULTIPLES if family == "rtmdet" else SIZES


@pytest.mark.parametrize("family", FAMILIES)
def test_the_replacements_change_nothing(built, family):
    graph = built(family)
    for size in sizes(family)[1:]:
        image = torch.from_numpy(generate(size, 3, seed=1))
        wanted = graph.reference(image)
        with torch.no_grad(), exportable():
            outputs = [output.numpy() for output in graph(image)]
        got = graph.read(outputs, size)
        assert len(wanted) > 4
        assert len(np.unique(wanted.scores)) > 0.95 * len(wanted)  # distinct
        for name in ("boxes", "scores", "labels"):
            assert np.array_equal(getattr(got, name), getattr(wanted, name)), name
        if wanted.masks is not None:
            assert np.array_equal(got.masks, wanted.masks)
            assert wanted.masks.any()
        missing = outputs[1] == 0
        assert not outputs[0][missing].any()  # a missing row is empty


@pytest.mark.parametrize(
    "family",
    [one if one in SHORT else pytest.param(one, marks=pytest.mark.long) for one in FAMILIES],
)
def test_onnx_runtime_finds_the_same(built, family, tmp_path):
    graph, path = built(family), tmp_path / "model.onnx"
    write_onnx(graph, path, torch.from_numpy(generate(TRACED, 3, seed=0)), fixed=False)
    pictures = [Picture(str(size), generate(size, 3, seed=1)) for size in sizes(family)]
    figures = compare(graph, onnxruntime_of(path), pictures, cut_off=0.05)
    assert figures.found > 10
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    assert not model.functions
