"""Each recipe states what was published for it."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

import convnext_dense  # noqa: F401
from convnext_dense.backbone import resolve_arch
from convnext_dense.config.compare_configs import config_differences
from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.tta import set_tta
from convnext_dense.zoo.results import METRIC_TITLES, PEERS, PUBLISHED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
URL = "https://dl.fbaipublicfiles.com/convnext/convnext_{}_224.pth"
# The recipes of ConvNeXt's paper, as typed from the publication: arch, weights, drop path, learning
# rate, decay, mixed precision.
DETECTORS = {
    "mask_rcnn_convnext_t_coco": ("tiny", "tiny_1k", 0.4, 1e-4, 0.95, True),
    "cascade_convnext_t_coco": ("tiny", "tiny_1k", 0.4, 2e-4, 0.7, True),
    "cascade_convnext_s_coco": ("small", "small_1k", 0.6, 2e-4, 0.7, True),
    "cascade_convnext_b_coco": ("base", "base_1k", 0.7, 2e-4, 0.8, True),
    "cascade_convnext_b_in22k_coco": ("base", "base_22k", 0.6, 1e-4, 0.8, True),
    "cascade_convnext_l_in22k_coco": ("large", "large_22k", 0.7, 1e-4, 0.7, False),
    "cascade_convnext_xl_in22k_coco": ("xlarge", "xlarge_22k", 0.8, 1e-4, 0.7, False),
}
# arch, weights, crop, slide stride, drop path, learning rate, mixed precision.
SEGMENTERS = {
    "upernet_convnext_t_ade20k": ("tiny", "tiny_1k", 512, 341, 0.4, 1e-4, True),
    "upernet_convnext_s_ade20k": ("small", "small_1k", 512, 341, 0.3, 1e-4, True),
    "upernet_convnext_b_ade20k": ("base", "base_1k", 512, 341, 0.4, 1e-4, True),
    "upernet_convnext_b_in22k_ade20k": ("base", "base_22k", 640, 426, 0.4, 1e-4, True),
    "upernet_convnext_l_in22k_ade20k": ("large", "large_22k", 640, 426, 0.4, 1e-4, False),
    "upernet_convnext_xl_in22k_ade20k": ("xlarge", "xlarge_22k", 640, 426, 0.4, 8e-5, False),
}

# The recipes of DINOv3's model card: arch, channels of the last map.
LINEAR = {
    "t": ("tiny", 768),
    "s": ("small", 768),
    "b": ("base", 1024),
    "l": ("large", 1536),
}


def load(name: str) -> Config:
    return Config.fromfile(ROOT / "configs" / name)


def test_every_recipe_has_a_row():
    files = [
        f"{path.parent.name}/{path.stem}"
        for folder in ("det", "seg")
        for path in (ROOT / "configs" / folder).glob("*.py")
    ]
    peers = [peer.config for peer in PEERS]
    assert sorted(files) == sorted([*peers, *(row.config for row in PUBLISHED)])


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.config)
def test_a_recipe_has_figures_with_their_source_or_says_that_none_were_published(row):
    assert bool(row.metrics) == bool(row.source)
    assert not row.checkpoint or row.metrics
    assert row.metrics.keys() <= METRIC_TITLES.keys()
    text = (ROOT / "configs" / f"{row.config}.py").read_text()
    assert ("none published" in text.lower()) == (not row.metrics)


@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name):
    arch, weights, drop_path, lr, decay, amp = DETECTORS[name]
    cfg = load(f"det/{name}.py")
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.arch, backbone.drop_path_rate) == ("ConvNeXt", arch, drop_path)
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=URL.format(weights))
    assert tuple(cfg.model.neck.in_channels) == resolve_arch(arch).channels
    wrapper = cfg.optim_wrapper
    assert wrapper.type == ("AmpOptimWrapper" if amp else "OptimWrapper")
    assert wrapper.optimizer == dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.paramwise_cfg == dict(decay_rate=decay, decay_type="layer_wise")
    assert wrapper.clip_grad is None
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (36, [27, 33])
    assert cfg.train_dataloader.batch_size == 2 and cfg.auto_scale_lr.base_batch_size == 16
    if name.startswith("cascade"):
        heads = cfg.model.roi_head.bbox_head
        assert [tuple(head.bbox_coder.target_stds) for head in heads] == [
            (0.1, 0.1, 0.2, 0.2),
            (0.05, 0.05, 0.1, 0.1),
            (0.033, 0.033, 0.067, 0.067),
        ]
        for head in heads:
            assert head.type == "Shared4Conv1FCBBoxHead" and head.norm_cfg.type == "SyncBN"
            assert head.reg_decoded_bbox and not head.reg_class_agnostic
            assert (head.loss_bbox.type, head.loss_bbox.loss_weight) == ("GIoULoss", 10.0)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenter(name):
    arch, weights, crop, stride, drop_path, lr, amp = SEGMENTERS[name]
    cfg = load(f"seg/{name}.py")
    backbone, channels = cfg.model.backbone, resolve_arch(arch).channels
    assert (backbone.type, backbone.arch, backbone.drop_path_rate) == ("ConvNeXt", arch, drop_path)
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=URL.format(weights))
    assert tuple(cfg.model.decode_head.in_channels) == channels
    assert cfg.model.auxiliary_head.in_channels == channels[2]
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 150
    assert cfg.model.test_cfg == dict(mode="slide", crop_size=(crop,) * 2, stride=(stride,) * 2)
    assert cfg.model.data_preprocessor.size == (crop, crop)
    pipeline = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert pipeline["RandomCrop"].crop_size == (crop, crop)
    assert pipeline["RandomResize"].scale == (4 * crop, crop)
    wrapper = cfg.optim_wrapper
    assert wrapper.type == ("AmpOptimWrapper" if amp else "OptimWrapper")
    assert wrapper.optimizer == dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.paramwise_cfg == dict(decay_rate=0.9, decay_type="stage_wise")
    assert cfg.train_cfg.max_iters == 160_000 and cfg.param_scheduler[1].power == 1.0
    assert cfg.train_dataloader.batch_size == 2 and cfg.auto_scale_lr.base_batch_size == 16


@pytest.mark.parametrize("size", LINEAR)
def test_linear_head_on_frozen_features(size):
    arch, channels = LINEAR[size]
    cfg = load(f"seg/linear_dinov3_convnext_{size}_ade20k.py")
    backbone, head = cfg.model.backbone, cfg.model.decode_head
    assert (backbone.arch, tuple(backbone.out_indices), backbone.frozen_stages) == (arch, (3,), 4)
    assert "drop_path_rate" not in backbone and not cfg.model.get("auxiliary_head")
    source = f"timm/convnext_{arch}.dinov3_lvd1689m"
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=source, final_norm="use")
    assert (head.type, head.in_channels, head.num_classes) == ("LinearHead", channels, 150)
    assert (head.norm_cfg.type, head.dropout_ratio) == ("SyncBN", 0.1)
    # dinov3's config-ade20k-linear-training.yaml.
    wrapper = cfg.optim_wrapper
    assert (wrapper.type, wrapper.clip_grad) == ("OptimWrapper", None)
    assert wrapper.optimizer == dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3)
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.type, warm_up.start_factor, warm_up.end) == ("LinearLR", 1e-6, 1500)
    assert (cosine.type, cosine.T_max, cosine.eta_min) == ("CosineAnnealingLR", 40_000, 0)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (40_000, 5000)
    assert cfg.train_dataloader.batch_size == 2 and cfg.auto_scale_lr.base_batch_size == 16
    pipeline = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert pipeline["RandomResize"].ratio_range == (0.5, 2.0)
    assert pipeline["RandomCrop"].crop_size == (512, 512)
    assert {"RandomFlip", "PhotoMetricDistortion"} <= pipeline.keys()
    assert cfg.model.test_cfg == dict(mode="slide", crop_size=(512, 512), stride=(341, 341))


@pytest.mark.parametrize(
    "name",
    [row.config for row in PUBLISHED if "_dinov3" in row.config and "linear" not in row.config],
)
def test_recipes_over_dinov3_differ_in_the_weights_alone_or_freeze_them(name):
    cfg, base = load(f"{name}.py"), load(f"{name.replace('_dinov3', '').replace('_frozen', '')}.py")
    ours, theirs = cfg.model.backbone, base.model.backbone
    assert ours.init_cfg.checkpoint == f"timm/convnext_{ours.arch}.dinov3_lvd1689m"
    if "_frozen_" in name:
        assert ours.pop("frozen_stages") == 4 and ours.init_cfg.final_norm == "use"
        assert not ours.pop("drop_path_rate", 0) and 3 in (ours.get("out_indices") or (3,))
        theirs.pop("drop_path_rate", None)
    ours.pop("init_cfg"), theirs.pop("init_cfg")
    assert cfg.to_dict() == base.to_dict()


V2 = "https://dl.fbaipublicfiles.com/convnext/convnextv2/{}_ema.pt"


@pytest.mark.parametrize(
    ("name", "arch", "amp"),
    [("b", "base", True), ("l", "large", False), ("h", "huge", False)],
)
def test_mask_rcnn_v2(name, arch, amp):
    """ConvNeXt V2, appendix A.3."""
    cfg = load(f"det/mask_rcnn_convnext_v2_{name}_coco.py")
    backbone, wrapper = cfg.model.backbone, cfg.optim_wrapper
    assert (backbone.arch, backbone.drop_path_rate) == (f"v2_{arch}", 0.35)  # of 0.2 to 0.5
    assert backbone.init_cfg.checkpoint == V2.format(f"im1k/convnextv2_{arch}_1k_224")
    assert tuple(cfg.model.neck.in_channels) == resolve_arch(f"v2_{arch}").channels
    assert wrapper.type == ("AmpOptimWrapper" if amp else "OptimWrapper")
    assert wrapper.optimizer == dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.paramwise_cfg == dict(decay_rate=0.925, decay_type="layer_wise")  # 0.9 to 0.95
    assert cfg.train_cfg.max_epochs == 36
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (4, 32)
    assert cfg.model.test_cfg.rcnn.nms == dict(type="soft_nms", iou_threshold=0.5)
    assert cfg.model.test_cfg.rpn.nms.type == "nms"
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert (steps["RandomResize"].scale, steps["RandomResize"].ratio_range) == (
        (1024, 1024),
        (0.1, 2.0),
    )
    assert steps["RandomCrop"].crop_size == (1024, 1024)


@pytest.mark.parametrize(
    ("name", "arch", "crop", "weights"),
    [
        ("b", "base", 512, "im1k/convnextv2_base_1k_224"),
        ("l", "large", 512, "im1k/convnextv2_large_1k_224"),
        ("h", "huge", 512, "im1k/convnextv2_huge_1k_224"),
        ("h_in22k", "huge", 640, "im22k/convnextv2_huge_22k_384"),
    ],
)
def test_upernet_v2(name, arch, crop, weights):
    """ConvNeXt V2, appendix A.4."""
    path = f"seg/upernet_convnext_v2_{name}_ade20k.py"
    cfg, channels = load(path), resolve_arch(f"v2_{arch}").channels
    backbone, wrapper = cfg.model.backbone, cfg.optim_wrapper
    assert (backbone.arch, backbone.drop_path_rate) == (f"v2_{arch}", 0.25)  # of 0.1 to 0.4
    assert backbone.init_cfg.checkpoint == V2.format(weights)
    assert tuple(cfg.model.decode_head.in_channels) == channels
    assert cfg.model.auxiliary_head.in_channels == channels[2]
    assert wrapper.type == ("AmpOptimWrapper" if arch == "base" else "OptimWrapper")
    assert wrapper.optimizer == dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.paramwise_cfg == dict(decay_rate=0.85, decay_type="layer_wise")  # 0.8 to 0.9
    assert cfg.model.test_cfg.crop_size == cfg.model.data_preprocessor.size == (crop, crop)
    assert cfg.train_cfg.max_iters == 160_000
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (2, 16)
    options = RunOptions(ROOT / "configs" / path, tta=True)
    scales, flips, *_ = (
        set_tta(Plan(options, cfg)).config.test_dataloader.dataset.pipeline[1].transforms
    )
    tested = [0.75, 0.875, 1.0, 1.125, 1.25]
    assert [step.scale for step in scales] == [
        (int(4 * crop * ratio), int(crop * ratio)) for ratio in tested
    ]
    assert [step.prob for step in flips] == [0.0, 1.0]


@pytest.mark.parametrize("data", ["", "_in22k"])
@pytest.mark.parametrize(
    ("name", "arch"), [("t", "tiny"), ("s", "small"), ("b", "base"), ("l", "large")]
)
def test_dino(name, arch, data):
    """IDEA-Research/detrex, projects/dino/configs."""
    cfg = load(f"det/dino_convnext_{name}{data}_coco.py")
    backbone, wrapper = cfg.model.backbone, cfg.optim_wrapper
    assert (backbone.type, backbone.arch, backbone.out_indices) == ("ConvNeXt", arch, (1, 2, 3))
    assert "drop_path_rate" not in backbone and "layer_scale_init_value" not in backbone
    file = "22k_1k_384" if data else f"1k_224{'_ema' if arch == 'large' else ''}"
    weights = f"https://dl.fbaipublicfiles.com/convnext/convnext_{arch}_{file}.pth"
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=weights)
    assert tuple(cfg.model.neck.in_channels) == resolve_arch(arch).channels[1:]
    assert (cfg.model.num_queries, cfg.model.neck.num_outs) == (900, 4)
    encoding = cfg.model.positional_encoding
    assert (encoding.temperature, encoding.offset) == (10000, -0.5)
    assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay) == (1e-4, 1e-4)
    assert wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=0.1))
    assert wrapper.clip_grad.max_norm == 0.1
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].milestones) == (12, [11])
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (2, 16)


def test_rtmdet_differs_from_mmdets_recipe_in_its_backbone_alone():
    cfg = load("det/rtmdet_convnext_b_in22k_coco.py")
    file = Path(find_spec("mmdet").origin).parent / ".mim/configs/rtmdet"
    theirs = Config.fromfile(
        file / "rtmdet_l_convnext_b_4xb32-100e_coco.py", import_custom_modules=False
    )
    backbone, before = cfg.model.pop("backbone"), theirs.model.pop("backbone")
    for key in ("arch", "drop_path_rate", "with_cp"):
        assert backbone[key] == before[key]
    assert list(backbone.out_indices) == before.out_indices
    # The file of before.init_cfg, in Meta's layout.
    assert backbone.init_cfg.checkpoint.endswith("/convnext_base_22k_1k_384.pth")
    decay = {key: theirs.optim_wrapper.paramwise_cfg[key] for key in ("decay_rate", "decay_type")}
    assert cfg.optim_wrapper.paramwise_cfg == decay
    changed = {key for change in config_differences([cfg, theirs]) for key in change.keys}
    assert {key.partition(".")[0] for key in changed} <= {
        "custom_imports", "optim_wrapper", "auto_scale_lr", "default_hooks",
        *(f"{split}_dataloader" for split in ("train", "val", "test")),
    }  # fmt: skip
    assert {key for key in changed if "dataloader" in key} == {
        f"{split}_dataloader.num_workers" for split in ("train", "val", "test")
    }


def _assert_rt_detr(cfg, arch, weights):
    backbone, schedule = cfg.model.backbone, cfg.param_scheduler
    assert (backbone.type, backbone.arch, backbone.out_indices) == ("ConvNeXt", arch, (1, 2, 3))
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=weights)
    assert (cfg.model.type, cfg.model.head.num_queries) == ("TransformersDetector", 300)
    assert [one.type for one in schedule] == ["LinearLR"]
    wrapper = cfg.optim_wrapper
    assert (wrapper.type, wrapper.clip_grad.max_norm) == ("AmpOptimWrapper", 0.1)
    ema, stop = cfg.custom_hooks
    assert (ema.type, ema.ema_type, ema.momentum) == ("EMAHook", "ExpMomentumEMA", 1e-4)
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    strong = ["PhotoMetricDistortion", "Expand", "RandomApply"]
    assert steps[2:5] == strong and stop.type == "StopAugmentingHook"
    assert [step.type for step in stop.switch_pipeline] == [s for s in steps if s not in strong]
    (resize,) = cfg.model.data_preprocessor.batch_augments
    assert (resize.random_size_range, resize.interval) == ((480, 800), 1)
    for pipeline in (stop.switch_pipeline, cfg.test_dataloader.dataset.pipeline):
        (step,) = (step for step in pipeline if step.type == "Resize")
        assert (step.scale, step.keep_ratio) == ((640, 640), False)
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=False)


def _dinov3_weights(arch):
    return f"timm/convnext_{arch}.dinov3_lvd1689m"


@pytest.mark.parametrize("data", ["", "_in22k"])
@pytest.mark.parametrize(
    ("name", "arch"), [("t", "tiny"), ("s", "small"), ("b", "base"), ("l", "large")]
)
def test_rt_detr_v2(name, arch, data):
    """lyuwenyu/RT-DETR, rtdetrv2_pytorch/configs/rtdetrv2."""
    cfg = load(f"det/rtdetrv2_convnext_{name}{data}_coco.py")
    in22k = f"https://dl.fbaipublicfiles.com/convnext/convnext_{arch}_22k_1k_384.pth"
    _assert_rt_detr(cfg, arch, in22k if data else _dinov3_weights(arch))
    assert cfg.model.head.type == "rt_detr_v2"
    optimizer = dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    assert (cfg.param_scheduler[0].end, cfg.custom_hooks[0].gamma) == (2000, 2000)
    assert (cfg.train_cfg.max_epochs, cfg.custom_hooks[1].switch_epoch) == (72, 71)
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (4, 16)


@pytest.mark.parametrize(("name", "arch"), [("t", "tiny"), ("s", "small"), ("b", "base")])
def test_d_fine(name, arch):
    """Peterande/D-FINE, configs/dfine/dfine_hgnetv2_l_coco.yml."""
    cfg = load(f"det/dfine_convnext_{name}_coco.py")
    _assert_rt_detr(cfg, arch, _dinov3_weights(arch))
    assert (cfg.model.head.type, cfg.model.head.decoder_n_points) == ("d_fine", [3, 6, 3])
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (2.5e-4, 1.25e-4)
    assert optimizer.lr * cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 1.25e-5
    assert (cfg.param_scheduler[0].end, cfg.custom_hooks[0].gamma) == (500, 1000)
    assert (cfg.train_cfg.max_epochs, cfg.custom_hooks[1].switch_epoch) == (80, 72)
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (8, 32)


@pytest.mark.parametrize(
    "name",
    [
        "det/{}mask2former_convnext_t_coco",
        "seg/{}mask2former_convnext_t_ade20k",
        "seg/{}upernet_convnext_t_ade20k",
    ],
)
def test_a_recipe_with_a_head_of_transformers_is_trained_as_that_of_mmdet_or_mmseg(name):
    cfg, base = load(f"{name.format('hf_')}.py"), load(f"{name.format('')}.py")
    assert cfg.model.backbone == base.model.backbone
    assert cfg.model.head.type in name and cfg.model.type.startswith("Transformers")
    changed = {key for change in config_differences([cfg, base]) for key in change.keys}
    assert {key.partition(".")[0] for key in changed} <= {"model", "optim_wrapper", "embeddings"}


@pytest.mark.parametrize(
    ("name", "arch", "crop"),
    [("t", "tiny", 512), ("b", "base", 640), ("l", "large", 640)],
)
def test_mask2former(name, arch, crop):
    weights = f"convnext_{arch}_1k_224{'_ema' if arch == 'large' else ''}.pth"
    for path in ("det/mask2former_convnext_{}_coco.py", "seg/mask2former_convnext_{}_ade20k.py"):
        cfg = load(path.format(name))
        backbone = cfg.model.backbone
        assert (backbone.type, backbone.arch, backbone.drop_path_rate) == ("ConvNeXt", arch, 0.3)
        assert Path(backbone.init_cfg.checkpoint).name == weights
        head = cfg.model.get("panoptic_head") or cfg.model.decode_head
        assert tuple(head.in_channels) == resolve_arch(arch).channels
        keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
        assert keys.backbone == dict(lr_mult=0.1, decay_mult=1.0)
        assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.model.data_preprocessor.size == (crop, crop)


def test_model_zoo_page_is_up_to_date():
    tool = runpy.run_path(str(ROOT / "tools" / "model_zoo.py"))
    page = (ROOT / "docs" / "model_zoo.md").read_text()
    assert page == tool["render"](ROOT / "configs"), "run: python tools/model_zoo.py"


def test_the_help_of_the_model_zoo_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["model_zoo.py", "--help"])
    monkeypatch.setattr(Path, "write_text", lambda *_: pytest.fail("wrote a file"))
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "tools" / "model_zoo.py"), run_name="__main__")
    assert "Write docs/model_zoo.md" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["det", "seg"])
def test_recipes_are_short_deltas(folder):
    for path in (ROOT / "configs" / folder).glob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 26, f"{path.name} has grown to {len(lines)} lines"
