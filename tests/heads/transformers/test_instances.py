"""Mask2Former's instances against transformers' own, with the same weights."""

from __future__ import annotations

import pytest
import torch
import transformers
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from convnext_dense.heads.transformers.own_backbone import model_of_transformers

from .masks import MASK2FORMER, instances, model

TOLERANCE = 1e-4


@pytest.fixture
def detector():
    return model("TransformersDetector", MASK2FORMER)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "padded"), [((64, 96), 0), ((96, 70), 16)])
def test_losses_are_transformers_own(detector, size, padded):
    images, samples = instances(2, 3, size=size, padded=padded)
    masks = [one.gt_instances.masks.pad(size).to_tensor(torch.float32, "cpu") for one in samples]
    classes = [one.gt_instances.labels for one in samples]
    theirs = model_of_transformers(detector.backbone, detector.head).eval()
    with torch.no_grad():
        torch.manual_seed(3)  # both draw points
        losses = detector(images, samples, mode="loss")
        torch.manual_seed(3)
        wanted = theirs(images, mask_labels=masks, class_labels=classes)
    assert abs(sum(losses.values()) - wanted.loss) <= TOLERANCE * wanted.loss
    assert {"loss_mask", "loss_dice", "loss_cross_entropy", "loss_mask_0"} <= losses.keys()


@pytest.mark.slow
def test_masks_scores_and_labels_are_those_of_transformers(detector):
    """In the one size that its post-processing makes masks in."""
    images, samples = instances(0, size=(384, 384))
    samples[0].set_metainfo(dict(ori_shape=(384, 384)))
    theirs = model_of_transformers(detector.backbone, detector.head).eval()
    with torch.no_grad():
        (wanted,) = transformers.Mask2FormerImageProcessorPil().post_process_instance_segmentation(
            theirs(images),
            threshold=-1.0,
            return_binary_maps=True,
            target_sizes=[(384, 384)],
        )
        found = detector.predict(images, samples)[0].pred_instances
    found = found[found.masks.flatten(1).any(1)]  # transformers leaves out empty ones
    scores = torch.tensor([one["score"] for one in wanted["segments_info"]])
    assert len(scores) == len(found) > 3
    assert torch.allclose(found.scores, scores.sort(descending=True).values, atol=TOLERANCE)
    for one, info in zip(wanted["segmentation"], wanted["segments_info"], strict=True):
        near = (found.scores - info["score"]).abs() < TOLERANCE
        same = found[near & (found.labels == info["label_id"])]
        off = [(mask.float() - one).abs().mean() for mask in same.masks]
        assert min(off) < TOLERANCE


@pytest.mark.slow
def test_masks_lie_in_the_image_without_its_padding(detector):
    images, samples = instances(1, 1, size=(64, 96), padded=16)
    with torch.no_grad():
        for rescale, size in ((True, (96, 160)), (False, (48, 80))):
            found = detector.predict(images, samples, rescale=rescale)[1].pred_instances
            assert found.masks.shape[1:] == size and found.masks.dtype == torch.bool
            assert (found.scores.diff() <= 0).all()
    detector.test_cfg = dict(max_per_img=3)
    assert len(detector.predict(images, samples)[0].pred_instances) == 3


@pytest.mark.slow
def test_a_batch_without_instances_trains_every_parameter(detector):
    images, samples = instances(0, 0)
    total = sum(detector.train()(images, samples, mode="loss").values())
    total.backward()
    assert total.isfinite()
    assert [name for name, p in detector.named_parameters() if p.grad is None] == []


def test_data_without_masks_is_one_line(detector):
    truth = InstanceData(labels=torch.zeros(1), bboxes=torch.zeros(1, 4))
    sample = DetDataSample(gt_instances=truth, metainfo=dict(img_shape=(64, 64)))
    with pytest.raises(ValueError, match=r"needs masks.*with_mask=True"):
        detector(torch.zeros(1, 3, 64, 64), [sample], mode="loss")
