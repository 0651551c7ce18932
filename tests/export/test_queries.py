"""DETR and its kin, Mask2Former and RTMDet-Ins as ONNX: each equals mmdet."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from benchmarks.random_weights import spread_queries
from convnext_dense.export.describe import describe
from convnext_dense.export.families import refuse
from convnext_dense.export.graph import make_graph
from convnext_dense.export.onnx_file import save_model, write_onnx
from convnext_dense.export.pictures import generate, traced_size
from convnext_dense.export.replacements import exportable
from convnext_dense.export.verify import Picture, compare, onnxruntime_of
from convnext_dense_runtime import Model

from .tiny import build, tiny_config

pytestmark = pytest.mark.slow
FEWER = {
    "model.num_queries": 40,
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 2,
    "model.test_cfg.max_per_img": 30,
}
# The config, and what makes the model small.
FAMILIES = {
    "Deformable DETR": ("deformable_detr/deformable-detr_r50_16xb2-50e_coco.py", FEWER),
    "two-stage Deformable DETR": (
        "deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py",
        FEWER,
    ),
    "DINO": ("dino/dino-4scale_r50_8xb2-12e_coco.py", FEWER),
    "padded DINO": (
        "dino/dino-4scale_r50_8xb2-12e_coco.py",
        FEWER | {"model.data_preprocessor.pad_size_divisor": 32},
    ),
    "DETR": ("detr/detr_r50_8xb2-150e_coco.py", FEWER),
    "Conditional DETR": ("conditional_detr/conditional-detr_r50_8xb2-50e_coco.py", FEWER),
    "DAB-DETR": ("dab_detr/dab-detr_r50_8xb2-50e_coco.py", FEWER),
    "Mask2Former": (
        "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        {
            "model.panoptic_head.num_queries": 20,
            "model.panoptic_head.transformer_decoder.num_layers": 3,
            "model.panoptic_head.pixel_decoder.encoder.num_layers": 1,
            "model.test_cfg.max_per_image": 15,
        },
    ),
    "RTMDet-Ins": ("rtmdet/rtmdet-ins_s_8xb32-300e_coco.py", {}),
}
# What make test has time for.
QUICK = ("DINO", "Mask2Former", "RTMDet-Ins")
SIZES = ((75, 101), (160, 64), (130, 211))


def choose(quick):
    """Return all families, of which the others are left to make test-long."""
    return [
        family if family in quick else pytest.param(family, marks=pytest.mark.long)
        for family in FAMILIES
    ]


def sizes(family):
    # The model needs multiples of 32, to which the pipeline of RTMDet pads.
    return ((96, 128), (160, 64), (128, 224)) if family == "RTMDet-Ins" else SIZES


def make(family: str):
    """Return the config and the graph of a tiny detector."""
    name, smaller = FAMILIES[family]
    narrow = family == "RTMDet-Ins"  # the others' widths are those of their sine waves
    cfg = tiny_config(f"mmdet::{name}", narrow=narrow, **smaller)
    refuse(cfg)
    graph = make_graph(build(cfg))
    if family == "Mask2Former":
        spread_queries(graph, torch.from_numpy(generate((75, 101), 3, seed=1)))
    return cfg, graph


@pytest.fixture(scope="module")
def made():
    """Return a function that builds a family's config and graph once."""
    return functools.cache(make)


@pytest.mark.parametrize("family", choose(QUICK))
def test_the_replacements_change_nothing(made, family):
    _, graph = made(family)
    for size in sizes(family)[:2]:
        image = torch.from_numpy(generate(size, 3, seed=1))
        wanted = graph.reference(image)
        with torch.no_grad(), exportable():
            outputs = [output.numpy() for output in graph(image)]
        got = graph.read(outputs, size)
        order = np.argsort(-wanted.scores, kind="stable")
        assert len(np.unique(wanted.scores)) > 0.9 * len(wanted)
        for name in ("boxes", "scores", "labels", "masks"):
            one, other = getattr(got, name), getattr(wanted, name)
            if other is not None:
                np.testing.assert_array_equal(one, other[order])


@pytest.mark.parametrize("family", choose(("DINO", "RTMDet-Ins")))
def test_onnx_runtime_equals_mmdet_at_other_sizes(made, family, tmp_path):
    cfg, graph = made(family)
    metadata = describe(cfg, graph.model, "some.pth", {}, None)
    path = tmp_path / "model.onnx"
    write_onnx(
        graph, path, torch.from_numpy(generate(traced_size(metadata), 3, seed=0)), fixed=False
    )
    pictures = [Picture(str(size), generate(size, 3, seed=1)) for size in sizes(family)]

    figures = compare(graph, onnxruntime_of(path), pictures, metadata.score)

    assert figures.found >= 3 * 15
    assert metadata.masks == ("picture" if family in ("Mask2Former", "RTMDet-Ins") else None)


@pytest.mark.parametrize(
    "family", ["Mask2Former", pytest.param("RTMDet-Ins", marks=pytest.mark.long)]
)
def test_the_runtime_finds_what_mmdet_finds_in_pictures_of_other_sizes(made, family, tmp_path):
    """Masks are resized to the picture, and boxes and scores of Mask2Former measured there."""
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import DefaultScope

    from convnext_dense.inference.model import test_dataset
    from convnext_dense.inference.predictor import make_pipeline

    cfg, graph = made(family)
    names = tuple(map(str, range(80)))  # of Mask2Former's fusion head, which stays as it is
    metadata = dataclasses.replace(
        describe(cfg, graph.model, "some.pth", {}, None), classes=names, palette=()
    )
    path = tmp_path / "model.onnx"
    image = torch.from_numpy(generate(traced_size(metadata), 3, seed=0))
    write_onnx(graph, path, image, fixed=False)
    save_model(path, path, metadata)
    runtime, found = Model(path), 0
    with DefaultScope.overwrite_default_scope("mmdet"):
        _, transform = make_pipeline(test_dataset(cfg).pipeline, "mmdet", 3)
    for size in ((211, 157), (60, 111)):
        picture = generate(size, 3, seed=1)[0].transpose(1, 2, 0).astype(np.uint8)
        loaded = dict(img=picture, img_path=None, img_shape=size, ori_shape=size)
        with torch.no_grad():
            packed = pseudo_collate([transform(loaded)])
            wanted = graph.model.test_step(packed)[0].pred_instances.numpy()
        (got,) = runtime(picture)
        order = np.argsort(-wanted.scores, kind="stable")
        order = order[wanted.scores[order] > 0]
        assert len(got) == len(order)
        found += len(got)
        assert abs(got.scores - wanted.scores[order]).max() < 1e-4
        assert (got.labels == wanted.labels[order]).all()
        if family == "RTMDet-Ins":
            assert abs(got.boxes - wanted.bboxes[order]).max() < 1e-2
        else:  # edges of masks, where a pixel may lie at the threshold
            assert (abs(got.boxes - wanted.bboxes[order]) < 1e-2).mean() > 0.98
        masks = np.asarray(wanted.masks)[order]
        both = (got.masks & masks).sum((1, 2)) / np.maximum((got.masks | masks).sum((1, 2)), 1)
        assert both[(got.masks | masks).sum((1, 2)) > 20].min() >= 0.99
    assert found >= 15
