from __future__ import annotations

import pytest
from mmengine.config import ConfigDict

from convnext_dense.config.data.box_only import check_masks
from convnext_dense.config.steps.data import retarget
from convnext_dense.config_tree import walk

from ...configs import load


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn_convnext_t_coco.py", "cascade_convnext_t_coco.py"])
def test_masks_are_gone_everywhere(name):
    cfg = load(f"det/{name}")
    cfg.default_hooks.checkpoint.save_best = "coco/segm_mAP_50"
    cfg = retarget(cfg, box_only=True)
    assert "mask_head" not in cfg.model.roi_head
    assert "mask_roi_extractor" not in cfg.model.roi_head
    assert cfg.model.data_preprocessor.pad_mask is False
    loading = [node for _, node in walk(cfg._cfg_dict) if "with_mask" in node]
    assert len(loading) >= 3
    assert not any(node.with_mask for node in loading)
    assert (cfg.val_evaluator.metric, cfg.test_evaluator.metric) == ("bbox", "bbox")
    assert cfg.default_hooks.checkpoint.save_best == "coco/bbox_mAP_50"


@pytest.mark.slow
def test_model_builds_without_mask_head(mask_rcnn):
    from mmdet.registry import MODELS

    mask_rcnn.model.backbone.update(arch="atto", init_cfg=None)
    mask_rcnn.model.neck.in_channels = [40, 80, 160, 320]
    cfg = retarget(mask_rcnn, box_only=True)
    model = MODELS.build(cfg.model)
    assert model.with_bbox
    assert not model.with_mask


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "seg/upernet_convnext_t_ade20k.py"]
)
def test_model_without_masks_is_refused(name):
    with pytest.raises(ValueError, match=r"`box_only`: the model .* has no mask head"):
        retarget(load(name), box_only=True)


@pytest.mark.slow
def test_model_that_needs_its_masks_is_refused():
    cfg = load("mmdet::ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py")
    with pytest.raises(ValueError, match="a MaskScoringRoIHead cannot work without masks"):
        retarget(cfg, box_only=True)


class TestHeadsOfTransformers:
    @pytest.fixture
    def boxes(self, mask_rcnn):
        """A recipe with masks, under a head that finds none."""
        model = dict(type="TransformersDetector", backbone=mask_rcnn.model.backbone)
        mask_rcnn.model = ConfigDict(model, head=dict(type="rt_detr_v2"))
        return mask_rcnn

    def test_masks_are_refused(self, boxes):
        with pytest.raises(
            ValueError, match=r"with_mask=True, and the head rt_detr_v2 finds boxes"
        ):
            check_masks(boxes)

    def test_without_masks_nothing_is_left_to_refuse(self, boxes):
        cfg = retarget(boxes, box_only=True)
        check_masks(cfg)
        assert cfg.val_evaluator.metric == "bbox"

    def test_measured_masks_are_refused(self, boxes):
        cfg = retarget(boxes, box_only=True)
        cfg.test_evaluator.metric = ["bbox", "segm"]
        with pytest.raises(ValueError, match=r"test_evaluator measures masks .*`box_only=True`"):
            check_masks(cfg)

    def test_a_head_of_masks_takes_them(self, boxes):
        boxes.model.head.type = "mask2former"
        check_masks(boxes)
