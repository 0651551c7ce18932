from __future__ import annotations

import pytest

from convnext_dense.config.data.image_size import set_image_size
from convnext_dense.config.steps.data import retarget

from ...configs import load


@pytest.mark.slow
def test_detector_scales_by_its_short_side(cascade):
    cfg = retarget(cascade, img_size=400)
    plain, cropped = cfg.train_dataloader.dataset.pipeline[3].transforms
    assert plain[0].scales == [(side // 2, 666) for side in range(480, 801, 32)]
    assert cropped[0].scales == [(200, 666), (250, 666), (300, 666)]
    assert cropped[1].crop_size == (192, 300)
    assert cropped[2].scales == plain[0].scales
    for split in ("val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.pipeline[1].scale == (666, 400)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["det/cascade_convnext_t_coco.py", "seg/upernet_convnext_b_in22k_ade20k.py"]
)
def test_published_size_changes_nothing(name):
    cfg = load(name)
    size = 800 if name.startswith("det") else 640
    assert retarget(cfg, img_size=size).to_dict() == cfg.to_dict()


@pytest.mark.slow
def test_choices_that_become_equal_count_once(cascade):
    resize = cascade.train_dataloader.dataset.pipeline[3].transforms[0][0]
    resize.scales = [(480, 1333), (481, 1333), (800, 1333)]
    cfg = retarget(cascade, img_size=400)
    scales = cfg.train_dataloader.dataset.pipeline[3].transforms[0][0].scales
    assert scales == [(240, 666), (400, 666)]


def test_sizes_relative_to_the_image_stay(cascade):
    crop = cascade.train_dataloader.dataset.pipeline[3].transforms[1][1]
    crop.update(crop_type="relative_range", crop_size=(0.5, 0.5))
    cfg = retarget(cascade, img_size=400)
    assert cfg.train_dataloader.dataset.pipeline[3].transforms[1][1].crop_size == (0.5, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["t_ade20k", "b_in22k_ade20k"],
)
def test_segmenter_follows_its_crop_from_either_published_size(name):
    cfg = retarget(load(f"seg/upernet_convnext_{name}.py"), img_size=256)
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert pipeline[2].scale == (1024, 256)
    assert pipeline[2].ratio_range == (0.5, 2.0)
    assert pipeline[3].crop_size == (256, 256)
    assert cfg.model.data_preprocessor.size == (256, 256)
    assert cfg.model.test_cfg == dict(mode="slide", crop_size=(256, 256), stride=(170, 170))
    for split in ("val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.pipeline[1].scale == (1024, 256)


@pytest.mark.slow
def test_stride_is_the_published_one_at_both_sizes(upernet):
    assert retarget(upernet, img_size=640).model.test_cfg.stride == (426, 426)
    assert retarget(upernet, img_size=512).model.test_cfg.stride == (341, 341)


def test_other_strides_keep_their_share(upernet):
    upernet.model.test_cfg.stride = (256, 256)
    assert retarget(upernet, img_size=256).model.test_cfg.stride == (128, 128)


@pytest.mark.slow
def test_oblong_crop_keeps_its_shape():
    cfg = load("mmseg::upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py")
    cfg = retarget(cfg, img_size=256)
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (256, 512)
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (1024, 512)


@pytest.mark.slow
def test_mosaic_and_batch_resizing_follow():
    cfg = retarget(load("mmdet::yolox/yolox_s_8xb8-300e_coco.py"), img_size=320)
    mosaic, affine, mixup = cfg.train_dataloader.dataset.pipeline[:3]
    assert (mosaic.img_scale, affine.border, mixup.img_scale) == (
        (320, 320),
        (-160, -160),
        (320, 320),
    )
    assert cfg.model.data_preprocessor.batch_augments[0].random_size_range == (240, 400)


def test_augmented_test_follows(mask_rcnn):
    mask_rcnn.tta_pipeline = [
        dict(
            type="TestTimeAug",
            transforms=[
                [dict(type="Resize", scale=(1333, 800)), dict(type="Resize", scale_factor=2.0)]
            ],
        )
    ]
    first, second = retarget(mask_rcnn, img_size=400).tta_pipeline[0].transforms[0]
    assert first.scale == (666, 400)
    assert second.scale_factor == 2.0


def test_transform_shared_by_two_loaders_scales_once(mask_rcnn):
    mask_rcnn.val_dataloader = mask_rcnn.test_dataloader
    set_image_size(mask_rcnn, 400)
    assert mask_rcnn.val_dataloader.dataset.pipeline[1].scale == (666, 400)


def test_too_small_is_refused(mask_rcnn):
    with pytest.raises(ValueError, match="`img_size` is at least 32 pixels, got 31"):
        retarget(mask_rcnn, img_size=31)


def test_nothing_to_start_from_is_refused(mask_rcnn):
    del mask_rcnn.test_dataloader.dataset.pipeline[1]
    with pytest.raises(ValueError, match="test_dataloader has no Resize with scale to start from"):
        retarget(mask_rcnn, img_size=400)


@pytest.mark.slow
def test_a_fixed_canvas_holds_the_padded_images():
    cfg = load("mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py")
    cfg = retarget(cfg, img_size=256)
    crop = cfg.train_dataloader.dataset.pipeline[4].crop_size
    canvas = cfg.model.data_preprocessor.batch_augments[0].size
    assert (crop, canvas) == ((328, 328), (352, 352))


@pytest.mark.slow
def test_a_padded_image_stays_a_multiple_of_the_largest_stride():
    cfg = retarget(load("mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py"), img_size=100)
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps["RandomCrop"].crop_size == (100, 100)
    assert steps["Pad"].size == (128, 128)
    assert cfg.test_dataloader.dataset.pipeline[2].size == (128, 128)
