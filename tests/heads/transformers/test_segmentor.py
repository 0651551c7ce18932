"""Our segmenters against transformers' own over its ConvNeXt, with the same weights."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from mmseg.structures import SegDataSample
from transformers.models.mask2former.image_processing_pil_mask2former import (
    convert_segmentation_map_to_binary_masks,
)

from convnext_dense.heads.transformers.own_backbone import model_of_transformers

from .masks import CLASSES, IGNORED, SEGMENTERS, label_maps, segmenter

TOLERANCE = 1e-4


@pytest.fixture(params=SEGMENTERS)
def kind(request):
    return request.param


def theirs_of(model):
    return model_of_transformers(model.backbone, model.head).eval()


def loss_of(theirs, images, samples):
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    if hasattr(theirs, "decode_head"):
        return theirs(images, labels=labels).loss
    objects = [
        convert_segmentation_map_to_binary_masks(one.numpy(), ignore_index=IGNORED)
        for one in labels
    ]
    masks, classes = (list(map(torch.as_tensor, parts)) for parts in zip(*objects, strict=True))
    return theirs(images, mask_labels=masks, class_labels=classes).loss


@pytest.mark.slow
@pytest.mark.parametrize(("size", "padded"), [((64, 96), 0), ((96, 70), 16)])
def test_losses_and_scores_are_transformers_own(kind, size, padded):
    model = segmenter(kind)
    theirs = theirs_of(model)
    images, samples = label_maps(size, padded)
    with torch.no_grad():
        torch.manual_seed(3)  # Mask2Former draws points
        losses = model(images, samples, mode="loss")
        torch.manual_seed(3)
        wanted = loss_of(theirs, images, samples)
        assert all("loss" in name for name in losses)
        assert abs(sum(losses.values()) - wanted) <= TOLERANCE * wanted
        ours, outputs = model.head(images), theirs(images)
        for name in ("logits", "class_queries_logits", "masks_queries_logits"):
            if name in outputs:
                assert torch.allclose(ours[name], outputs[name], atol=TOLERANCE)
                assert outputs[name].std() > 0.01


@pytest.mark.slow
def test_label_maps_are_those_of_transformers_in_the_size_that_it_makes_masks_in():
    model = segmenter("mask2former")
    images = torch.randn(1, 3, 384, 384, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (wanted,) = transformers.Mask2FormerImageProcessorPil().post_process_semantic_segmentation(
            theirs_of(model)(images), target_sizes=[(90, 70)], return_segmentation_scores=True
        )
        sample = SegDataSample(metainfo=dict(ori_shape=(90, 70), img_shape=(384, 384)))
        (found,) = model.predict(images, [sample])
    scores = wanted["segmentation_scores"]
    assert (found.seg_logits.data - scores).abs().max() < TOLERANCE
    assert scores.std() > 0.01
    assert torch.equal(found.pred_sem_seg.data[0], wanted["segmentation"])


@pytest.mark.slow
def test_a_window_as_large_as_the_picture_finds_what_the_whole_does(kind):
    images = label_maps((64, 96))[0][:1]
    window = dict(mode="slide", crop_size=(64, 96), stride=(32, 32))
    metas = [dict(ori_shape=(64, 96), img_shape=(64, 96))]
    with torch.no_grad():
        whole, slid = (
            segmenter(kind, **options).inference(images, metas)
            for options in ({}, dict(test_cfg=window))
        )
        parts = segmenter(kind, test_cfg=dict(window, crop_size=(64, 64))).inference(images, metas)
    assert whole.shape == parts.shape == (1, CLASSES, 64, 96)
    assert torch.allclose(whole, slid) and not torch.allclose(whole, parts)


@pytest.mark.slow
def test_a_batch_without_labels_trains_every_parameter(kind):
    model = segmenter(kind).train()
    images, samples = label_maps((64, 96))
    for sample in samples:
        sample.gt_sem_seg.data.fill_(IGNORED)
    total = sum(model(images, samples, mode="loss").values())
    total.backward()
    assert total.isfinite()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.slow
def test_mixed_precision_changes_the_losses_little(kind):
    model = segmenter(kind)
    images, samples = label_maps((64, 96))
    totals = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            losses = model(images, samples, mode="loss")
        assert {value.dtype for value in losses.values()} == {torch.float32}
        totals.append(float(sum(losses.values())))
    assert totals[0] != totals[1] == pytest.approx(totals[0], rel=0.1)


def test_a_copy_reads_its_own_backbone():
    model = segmenter("upernet")
    image = label_maps((64, 96))[0]
    with torch.no_grad():
        before = model.encode_decode(image, [])
        twin = copy.deepcopy(model)
        for parameter in model.backbone.parameters():
            parameter.zero_()
        assert torch.equal(twin.encode_decode(image, []), before)
        assert not torch.equal(model.encode_decode(image, []), before)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (dict(type="rt_detr_v2"), "has no head 'rt_detr_v2'.*TransformersDetector.*upernet"),
        (dict(type="upernett"), "has no head 'upernett': it has upernet, mask2former"),
        (dict(type="dpt"), "reassembles the tokens of a ViT"),
        (dict(type="upernet", hiden_size=3), "did you mean hidden_size"),
        (dict(type="mask2former", use_auxiliary_loss=False), "cannot run so"),
        (dict(type="mask2former", feature_strides=[8, 16, 32]), "is not the backbone's"),
    ],
)
def test_wrong_heads_are_one_line(head, said):
    from mmseg.registry import MODELS

    cfg = dict(type="TransformersSegmentor", backbone=dict(type="ConvNeXt", arch="atto"), head=head)
    with pytest.raises(ValueError, match=said) as raised:
        MODELS.build(cfg)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_the_auxiliary_head_needs_three_maps():
    from mmseg.registry import MODELS

    backbone = dict(type="ConvNeXt", arch="atto", out_indices=(2, 3))
    cfg = dict(type="TransformersSegmentor", backbone=backbone, head=dict(type="upernet"))
    with pytest.raises(ValueError, match=r"use_auxiliary_head.*third map.*has 2"):
        MODELS.build(cfg)
    assert MODELS.build(dict(cfg, head=dict(type="upernet", use_auxiliary_head=False)))
