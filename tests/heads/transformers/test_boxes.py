"""Our detectors against transformers' own over its ConvNeXt, with the same weights."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import nn

from convnext_dense.heads.transformers.own_backbone import model_of_transformers

from .small import KINDS, batch, detector

TOLERANCE = 1e-4
SIZES = ((96, 64), (64, 128))


@pytest.fixture(params=KINDS)
def pair(request, randomise):
    """A detector of ours, and the same network made of transformers alone."""
    model = detector(request.param)
    randomise(model.backbone)
    with torch.no_grad():  # so that boxes and scores differ from query to query
        for parameter in model.head.parameters():
            if parameter.ndim > 1 and parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * parameter[0].numel() ** -0.5)
    theirs = model_of_transformers(model.backbone, model.head)
    assert any("ConvNextBackbone" in type(m).__name__ for m in theirs.modules())
    return model, theirs, request.param.startswith("deformable")


def labels_of(samples, images, per_image):
    """transformers' labels: relative to each image, or to the padded batch."""
    labels = []
    for sample in samples:
        height, width = sample.img_shape if per_image else images.shape[-2:]
        scale = torch.tensor([width, height, width, height])
        boxes = bbox_xyxy_to_cxcywh(sample.gt_instances.bboxes / scale)
        labels.append(dict(class_labels=sample.gt_instances.labels, boxes=boxes))
    return labels


def mask_of(samples, images):
    mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.long)
    for row, sample in zip(mask, samples, strict=True):
        row[: sample.img_shape[0], : sample.img_shape[1]] = 1
    return mask


@pytest.mark.slow
@pytest.mark.parametrize("padded", [0, 16])
@pytest.mark.parametrize("size", SIZES)
def test_losses_are_transformers_own(pair, size, padded):
    model, theirs, per_image = pair
    images, samples = batch(3, 0, 6, size=size, padded=padded)
    model.train()
    theirs.train()
    torch.manual_seed(1)
    losses = model(images, samples, mode="loss")
    total, _ = model.parse_losses(losses)
    torch.manual_seed(1)
    labels = labels_of(samples, images, per_image)
    expected = theirs(images, pixel_mask=mask_of(samples, images), labels=labels)
    assert set(losses) == set(expected.loss_dict)
    torch.testing.assert_close(total, expected.loss, rtol=TOLERANCE, atol=0)
    if not per_image:  # these are weighed in the dict
        for name, value in expected.loss_dict.items():
            torch.testing.assert_close(losses[name], value, rtol=TOLERANCE, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [0, 16])
@pytest.mark.parametrize("size", SIZES)
def test_boxes_and_scores_are_transformers_own(pair, size, padded):
    model, theirs, per_image = pair
    images, samples = batch(1, 1, size=size, padded=padded)
    model.eval()
    theirs.eval()
    with torch.no_grad():
        found = model(images, samples, mode="predict")
        outputs = theirs(images, pixel_mask=mask_of(samples, images))
    kind = "DeformableDetr" if per_image else "RTDetr"
    processor = getattr(transformers, f"{kind}ImageProcessorPil")()
    # The images are half the size of the originals.
    sizes = [s.ori_shape if per_image else [2 * side for side in size] for s in samples]
    expected = processor.post_process_object_detection(
        outputs, threshold=0.0, target_sizes=torch.tensor(sizes)
    )
    for sample, own in zip(found, expected, strict=True):
        scores, boxes = sample.pred_instances.scores, sample.pred_instances.bboxes
        torch.testing.assert_close(scores, own["scores"], rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(
            boxes / max(size), own["boxes"] / max(size), rtol=0, atol=TOLERANCE
        )
        assert (sample.pred_instances.labels == own["labels"]).float().mean() > 0.95
        assert scores.std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient_from_a_batch_without_boxes(kind):
    model = detector(kind).train()
    images, samples = batch(0, 0)
    total, _ = model.parse_losses(model(images, samples, mode="loss"))
    total.backward()
    assert total.isfinite()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.slow
def test_the_number_of_results_is_that_of_the_config():
    model = detector("rt_detr_v2").eval()
    model.test_cfg = dict(max_per_img=7)
    images, samples = batch(1)
    found = model(images, samples, mode="predict")[0].pred_instances
    assert len(found) == 7
    assert found.scores.diff().max() <= 0


def test_boxes_stay_in_the_batch_without_rescaling():
    model = detector("rt_detr_v2").eval()
    images, samples = batch(1)
    original = model.predict(images, samples)[0].pred_instances.bboxes
    scaled = model.predict(images, samples, rescale=False)[0].pred_instances.bboxes
    torch.testing.assert_close(original, 2 * scaled)


@pytest.mark.slow
def test_autocast_computes_losses_in_float32():
    model = detector("rt_detr_v2").train()
    images, samples = batch(2, 1)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, samples, mode="loss")
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_the_backbone_is_no_part_of_the_head():
    model = detector("rt_detr_v2")
    assert not any("backbone" in name for name, _ in model.head.named_parameters())
    names = [name for name, _ in model.named_parameters()]
    assert any(name.startswith("backbone.stages.0") for name in names)


@pytest.mark.parametrize(
    ("kind", "key", "positions"),
    [
        ("rt_detr_v2", "num_queries", r"126 \(12x8, 6x4, 3x2\)"),
        ("deformable_detr, two stages", "two_stage_num_proposals", r"128 \(12x8, 6x4, 3x2, 2x1\)"),
    ],
)
def test_fewer_positions_than_queries_are_one_line(kind, key, positions):
    model = detector(kind, **{key: 300})
    images, samples = batch(1)
    said = rf"300 queries .* are {positions}: set head\.{key} to 12[68] or less"
    with pytest.raises(ValueError, match=said):
        model(images, samples, mode="loss")


@pytest.mark.slow
def test_copies_read_their_own_backbone():
    model = detector("rt_detr_v2").eval()
    other = copy.deepcopy(model)
    nn.init.zeros_(other.backbone.norm3.weight)
    images, samples = batch(1)
    before = model.predict(images, samples)[0].pred_instances.scores
    assert not torch.equal(before, other.predict(images, samples)[0].pred_instances.scores)
    assert torch.equal(before, model.predict(images, samples)[0].pred_instances.scores)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["rt_detr_v2", "d_fine", "deformable_detr"])
def test_a_compiled_model_computes_the_same_losses(kind):
    model = detector(kind).train()
    images, samples = batch(2, 3)
    torch.manual_seed(1)
    expected = model(images, samples, mode="loss")
    torch.manual_seed(1)
    # As mmengine does with `compile`; the backend only looks at the graphs.
    losses = torch.compile(model.forward, backend="eager")(images, samples, mode="loss")
    torch.testing.assert_close(losses, expected)
