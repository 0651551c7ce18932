"""mmdet's own Mask R-CNN through the operators that its install lacks."""

from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

mmdet = pytest.importorskip("mmdet")

# Each value replaces one of mmdet's base config, for speed alone.
SMALL = {
    "model.backbone.depth": 18,
    "model.backbone.init_cfg": None,
    "model.neck.in_channels": [64, 128, 256, 512],
    "model.roi_head.bbox_head.num_classes": 3,
    "model.roi_head.mask_head.num_classes": 3,
    "model.train_cfg.rcnn.sampler.num": 32,
    "model.train_cfg.rpn_proposal.nms_pre": 200,
    "model.test_cfg.rpn.nms_pre": 200,
    "model.test_cfg.rcnn.score_thr": 0.0,
    "model.test_cfg.rcnn.max_per_img": 10,
}


@pytest.fixture(scope="module")
def model():
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    base = Path(mmdet.__file__).parent / ".mim/configs/_base_/models/mask-rcnn_r50_fpn.py"
    config = Config.fromfile(base)
    config.merge_from_dict(SMALL)
    torch.manual_seed(0)
    return MODELS.build(config.model)


@pytest.fixture
def batch():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    samples = []
    for _ in range(2):
        masks = torch.zeros(2, 96, 128, dtype=torch.uint8)
        masks[0, 8:50, 10:70] = masks[1, 40:90, 60:120] = 1
        instances = InstanceData(
            bboxes=torch.tensor([[10.0, 8, 70, 50], [60, 40, 120, 90]]),
            labels=torch.tensor([0, 2]),
            masks=BitmapMasks(masks.numpy(), 96, 128),
        )
        sample = DetDataSample(gt_instances=instances)
        shape = (96, 128)
        sample.set_metainfo(
            {"img_shape": shape, "ori_shape": shape, "batch_input_shape": shape, "pad_shape": shape}
            | {"scale_factor": (1.0, 1.0)}
        )
        samples.append(sample)
    return torch.randn(2, 3, 96, 128), samples


def test_trains(model, batch):
    losses, _ = model.train().parse_losses(model.loss(*batch))
    losses.backward()
    assert losses.isfinite()
    for head in (model.neck, model.rpn_head, model.roi_head.bbox_head, model.roi_head.mask_head):
        gradients = [parameter.grad for parameter in head.parameters()]
        assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
        assert any(gradient.any() for gradient in gradients if gradient is not None)


@torch.no_grad()
def test_predicts(model, batch):
    for sample in model.eval().predict(*batch):
        found = sample.pred_instances
        assert 0 < len(found) <= 10
        assert found.masks.shape == (len(found), 96, 128)
        assert found.bboxes.isfinite().all()
