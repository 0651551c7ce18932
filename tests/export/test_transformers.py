"""Heads of transformers as ONNX: each equals what the model predicts in PyTorch."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from benchmarks.random_weights import settle, spread_weights
from convnext_dense.export.graph import make_graph
from convnext_dense.export.onnx_file import write_onnx
from convnext_dense.export.pictures import generate
from convnext_dense.export.verify import Picture, compare, onnxruntime_of
from convnext_dense.patches import enable

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

BOXES = dict(
    num_queries=20, d_model=32, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
    encoder_attention_heads=4, decoder_attention_heads=4,
)  # fmt: skip
RT_DETR = dict(BOXES, encoder_hidden_dim=32)
QUERIES = dict(
    num_queries=15, hidden_dim=32, feature_size=32, mask_feature_size=32, decoder_layers=3,
    encoder_layers=1, num_attention_heads=4, encoder_feedforward_dim=32, dim_feedforward=32,
)  # fmt: skip
TWO_STAGES = dict(two_stage=True, with_box_refine=True, two_stage_num_proposals=20)
DETECTORS = {
    "rt_detr_v2": RT_DETR,
    "rt_detr": RT_DETR,
    "d_fine": RT_DETR,
    "deformable_detr": dict(BOXES, encoder_layers=1),
    "deformable_detr, two stages": dict(BOXES, encoder_layers=1, **TWO_STAGES),
    "mask2former": QUERIES,
}
SEGMENTERS = {"mask2former": QUERIES, "upernet": dict(hidden_size=32, auxiliary_channels=16)}
# What make test has time for.
QUICK = ("rt_detr_v2", "upernet")
TRACED = (150, 181)
SIZES = ((75, 101), (160, 64), (130, 211))


def choose(heads):
    """Return the heads, of which some are left to make test-long."""
    return [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in heads]


def make(scope: str, head: str, arguments: dict, **preprocessor):
    """Return the graph of a small model."""
    enable()
    import convnext_dense  # noqa: F401  registers the models

    is_detector = scope == "mmdet"
    kind = head.partition(",")[0]
    reads_all = kind in ("mask2former", "upernet")
    model = dict(
        type="TransformersDetector" if is_detector else "TransformersSegmentor",
        backbone=dict(
            type="ConvNeXt", arch="atto", out_indices=(0, 1, 2, 3) if reads_all else (1, 2, 3)
        ),
        head=dict(arguments, type=kind, num_classes=5),
        data_preprocessor=dict(
            type="DetDataPreprocessor" if is_detector else "SegDataPreProcessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            **preprocessor,
        ),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(scope):
        built = MODELS.build(model)
    spread_weights(built)
    graph = make_graph(built)
    if kind.startswith("rt_detr"):
        # Or else all places look nearly the same.
        settle(graph, torch.from_numpy(generate((160, 192), 3, seed=2)))
    return graph


def found_in_pictures(graph, path):
    """Compare a graph's file with PyTorch at sizes other than the traced one."""
    write_onnx(graph, path, torch.from_numpy(generate(TRACED, 3, seed=0)), fixed=False)
    pictures = [Picture(str(size), generate(size, 3, seed=1)) for size in SIZES]
    return compare(graph, onnxruntime_of(path), pictures, 0.0)


@pytest.mark.parametrize("head", choose(DETECTORS))
def test_detectors(head, tmp_path):
    # Padded pictures: Deformable DETR is told where they are, RT-DETR needs multiples of 32.
    graph = make("mmdet", head, DETECTORS[head], pad_size_divisor=32)

    figures = found_in_pictures(graph, tmp_path / "model.onnx")

    assert figures.found >= 3 * 15
    assert ("masks" in graph.outputs) == (head == "mask2former")


@pytest.mark.parametrize("head", choose(SEGMENTERS))
def test_segmenters(head, tmp_path):
    graph = make("mmseg", head, SEGMENTERS[head])

    assert found_in_pictures(graph, tmp_path / "model.onnx").pixels >= 0.9999
