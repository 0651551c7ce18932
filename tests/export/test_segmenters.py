"""Segmenters as ONNX: each family equals mmseg, under the replacements and in ONNX Runtime."""

import pytest
import torch

from benchmarks.random_weights import spread_queries
from convnext_dense.export.describe import describe
from convnext_dense.export.families import refuse
from convnext_dense.export.graph import make_graph
from convnext_dense.export.onnx_file import write_onnx
from convnext_dense.export.pictures import generate, generated, traced_size
from convnext_dense.export.replacements import exportable
from convnext_dense.export.verify import PIXELS, compare, onnxruntime_of

from .tiny import CLASSES, build, tiny_config

pytestmark = pytest.mark.slow

ADE = "4xb4-80k_ade20k-512x512.py"
# The config, and what makes its head small.
FAMILIES = {
    "UperNet": (f"upernet/upernet_r50_{ADE}", {"decode_head.channels": 32}),
    "FCN": (f"fcn/fcn_r50-d8_{ADE}", {"decode_head.channels": 32}),
    "PSPNet": (f"pspnet/pspnet_r50-d8_{ADE}", {"decode_head.channels": 32}),
    "DeepLabV3+": (f"deeplabv3plus/deeplabv3plus_r50-d8_{ADE}", {"decode_head.channels": 32}),
    "SegFormer": (
        "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        {"decode_head.channels": 32},
    ),
    "OCRNet": (
        "ocrnet/ocrnet_r101-d8_8xb2-40k_cityscapes-512x1024.py",
        {"decode_head.1.channels": 32, "decode_head.1.ocr_channels": 16},
    ),
    "PointRend": (
        "point_rend/pointrend_r50_4xb4-160k_ade20k-512x512.py",
        {"test_cfg.subdivision_num_points": 1500},
    ),
    "Mask2Former": (
        "mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py",
        {
            "decode_head.num_queries": 20,
            "decode_head.transformer_decoder.num_layers": 3,
            "decode_head.pixel_decoder.encoder.num_layers": 1,
        },
    ),
}
# What make test has time for.
QUICK = ("UperNet", "PointRend")


def choose(quick):
    """Return all families, of which the others are left to make test-long."""
    return [
        family if family in quick else pytest.param(family, marks=pytest.mark.long)
        for family in FAMILIES
    ]


def make(family: str):
    """Return the config and the graph of a tiny segmenter."""
    name, smaller = FAMILIES[family]
    overrides: dict = {f"model.{key}": value for key, value in smaller.items()}
    cfg = tiny_config(f"mmseg::{name}", narrow=False, **overrides)
    refuse(cfg)
    graph = make_graph(build(cfg))
    if family == "Mask2Former":
        spread_queries(graph, torch.from_numpy(generate((75, 101), 3, seed=1)))
    return cfg, graph


@pytest.mark.parametrize("family", choose((*QUICK, "Mask2Former")))
def test_the_replacements_change_nothing(family):
    _, graph = make(family)
    classes = set()
    with torch.no_grad():
        for size in ((64, 96), (75, 101)):
            image = torch.from_numpy(generate(size, 3, seed=1))
            (before,) = graph(image)
            with exportable():
                (under,) = graph(image)
            assert (before - under).abs().max() == 0
            assert before.shape == (1, len(CLASSES), *size)
            classes |= set(before.argmax(1).flatten().tolist())
    # The model tells pixels apart, so that equal label maps mean something.
    assert len(classes) > 1


@pytest.mark.parametrize("family", choose(QUICK))
def test_onnx_runtime_equals_mmseg_at_other_sizes(family, tmp_path):
    cfg, graph = make(family)
    metadata = describe(cfg, graph.model, "some.pth", {}, None)
    traced = traced_size(metadata)
    path = tmp_path / "model.onnx"
    write_onnx(graph, path, torch.from_numpy(generate(traced, 3, seed=0)), fixed=False)
    pictures = list(generated(metadata))
    assert all(picture.values.shape[2:] != traced for picture in pictures)

    figures = compare(graph, onnxruntime_of(path), pictures, 0.0)

    assert figures.pictures == 3
    assert figures.pixels >= PIXELS
