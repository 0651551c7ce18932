"""The length of a training, by value."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.overrides import set_overrides
from convnext_dense.config.steps.read import read_given_config
from convnext_dense.config.steps.schedule import set_schedule

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[3] / "configs"
# The table in docs/schedules.md has all thirteen.
DETECTORS = [
    CONFIGS / "det" / f"{name}_coco.py"
    for name in ("mask_rcnn_convnext_t", "cascade_convnext_xl_in22k")
]
SEGMENTERS = [CONFIGS / "seg" / f"upernet_convnext_{size}_ade20k.py" for size in ("t", "xl_in22k")]


@cache
def read(config: Path | str) -> Config:
    return read_given_config(Plan(RunOptions(str(config)))).config


def scheduled(config: Path | str, **asked: object) -> Config:
    options = RunOptions(str(config), **asked)
    return set_schedule(Plan(options, config=read(config))).config


def of_schedulers(cfg: Config, *keys: str) -> list:
    found = cfg.param_scheduler
    nodes = found if isinstance(found, list) else [found]
    return [{key: node[key] for key in keys if key in node} for node in nodes]


@pytest.mark.parametrize("config", DETECTORS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("epochs", "warm_up", "milestones", "interval"),
    [(18, 250, [13, 16], 1), (72, 1000, [54, 66], 2)],
)
def test_detectors(config, epochs, warm_up, milestones, interval):
    cfg = scheduled(config, epochs=epochs)
    assert cfg.train_cfg.to_dict() == dict(
        type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=interval
    )
    assert of_schedulers(cfg, "begin", "end", "milestones", "by_epoch") == [
        dict(begin=0, end=warm_up, by_epoch=False),
        dict(begin=0, end=epochs, milestones=milestones, by_epoch=True),
    ]
    assert cfg.default_hooks.checkpoint.interval == interval


@pytest.mark.parametrize("config", SEGMENTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("iters", "warm_up", "interval"), [(80000, 750, 8000), (320000, 3000, 32000)]
)
def test_segmenters(config, iters, warm_up, interval):
    cfg = scheduled(config, iters=iters)
    assert cfg.train_cfg.to_dict() == dict(
        type="IterBasedTrainLoop", max_iters=iters, val_interval=interval
    )
    assert of_schedulers(cfg, "begin", "end") == [
        dict(begin=0, end=warm_up),
        dict(begin=0, end=iters),
    ]
    assert cfg.default_hooks.checkpoint.interval == interval


def test_dino():
    cfg = scheduled("mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py", epochs=6)
    assert of_schedulers(cfg, "end", "milestones") == [dict(end=6, milestones=[5])]
    cfg = scheduled("mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py", epochs=24)
    assert of_schedulers(cfg, "end", "milestones") == [dict(end=24, milestones=[22])]


@pytest.mark.parametrize(("epochs", "interval"), [(150, 5), (600, 20)])
def test_rtmdet_switches_its_pipeline_at_the_same_part_of_the_run(epochs, interval):
    cfg = scheduled("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py", epochs=epochs)
    stage = epochs * 280 // 300
    assert cfg.train_cfg.to_dict() == dict(
        type="EpochBasedTrainLoop",
        max_epochs=epochs,
        val_interval=interval,
        dynamic_intervals=[(stage, max(1, epochs // 300))],
    )
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == "PipelineSwitchHook")
    assert switch.switch_epoch == stage
    assert of_schedulers(cfg, "begin", "end", "T_max") == [
        dict(begin=0, end=1000 * epochs // 300),
        dict(begin=epochs // 2, end=epochs, T_max=epochs // 2),
    ]


def test_rtmdet_switches_in_a_run_of_iterations():
    cfg = scheduled("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py", iters=3000)
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == "SwitchAtIterHook")
    assert (switch.iteration, switch.hook.type, switch.hook.switch_epoch) == (
        2800,
        "PipelineSwitchHook",
        0,
    )
    assert cfg.train_dataloader.sampler.to_dict() == dict(type="InfiniteSampler", shuffle=True)
    assert cfg.train_cfg.max_iters == 3000 and "max_epochs" not in cfg.train_cfg
    assert not cfg.default_hooks.checkpoint.by_epoch and not cfg.log_processor.by_epoch


@pytest.mark.parametrize(("iters", "warm_up"), [(80000, 750), (320000, 3000)])
def test_segformer(iters, warm_up):
    config = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
    cfg = scheduled(config, iters=iters)
    assert of_schedulers(cfg, "begin", "end") == [
        dict(begin=0, end=warm_up),
        dict(begin=warm_up, end=iters),
    ]
    assert cfg.train_cfg.val_interval == iters // 10


def test_yolox_ends_its_augmentations_with_the_decay():
    cfg = scheduled("mmdet::yolox/yolox_tiny_8xb8-300e_coco.py", epochs=60)
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == "YOLOXModeSwitchHook")
    assert switch.num_last_epochs == 3
    assert of_schedulers(cfg, "begin", "end", "T_max") == [
        dict(begin=0, end=1),
        dict(begin=1, end=57, T_max=57),
        dict(begin=57, end=60),
    ]


def test_mask2former_still_validates_only_at_its_end():
    config = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"
    cfg = scheduled(config, iters=36875)
    assert cfg.train_cfg.dynamic_intervals == [(36500, 36875)]
    assert of_schedulers(cfg, "end", "milestones") == [dict(end=36875, milestones=[32778, 35509])]
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval == 500


@pytest.mark.parametrize("epochs", [1, 2])
def test_without_data_milestones_stay_apart_and_in_the_run(epochs):
    cfg = scheduled(DETECTORS[0], epochs=epochs)
    assert of_schedulers(cfg, "milestones")[1]["milestones"] == [1][: epochs - 1]


COMMON = dict(
    default_scope="mmseg",
    model=dict(type="EncoderDecoder"),
    train_dataloader=dict(batch_size=4, sampler=dict(type="InfiniteSampler", shuffle=True)),
    optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3)),
    train_cfg=dict(type="IterBasedTrainLoop", max_iters=1000, val_interval=100),
    param_scheduler=dict(type="PolyLR", by_epoch=False, end=1000),
)


def own(**parts: object) -> Config:
    return Config({**COMMON, **parts})


def step(cfg: Config, **asked: object) -> Plan:
    return set_schedule(Plan(RunOptions(cfg, **asked), config=cfg))


@pytest.fixture
def label_maps(tmp_path) -> dict:
    """A training loader of 10 empty pictures with label maps."""
    for folder, suffix in (("images", "jpg"), ("labels", "png")):
        (tmp_path / folder).mkdir()
        for index in range(10):
            Image.new("L", (8, 8)).save(tmp_path / folder / f"{index}.{suffix}")
    dataset = dict(
        type="BaseSegDataset",
        data_root=str(tmp_path),
        data_prefix=dict(img_path="images", seg_map_path="labels"),
        metainfo=dict(classes=("a", "b"), palette=[[0, 0, 0], [1, 1, 1]]),
        pipeline=[dict(type="LoadImageFromFile")],
    )
    return dict(COMMON["train_dataloader"], dataset=dataset)


@pytest.mark.parametrize(
    ("changes", "epochs", "iterations"),
    [
        ({}, 4, 12),  # 10 images in batches of 4: 3 iterations
        (dict(drop_last=True), 4, 8),
        (dict(repeated=5), 2, 26),
    ],
)
def test_epochs_of_a_config_of_iterations_are_counted_on_the_data(
    label_maps, changes, epochs, iterations
):
    if "repeated" in changes:
        dataset = dict(
            type="RepeatDataset", times=changes["repeated"], dataset=label_maps["dataset"]
        )
        label_maps.update(dataset=dataset)
    else:
        label_maps.update(changes)
    plan = step(own(train_dataloader=label_maps), epochs=epochs)
    assert plan.config.train_cfg.max_iters == plan.config.param_scheduler.end == iterations
    # Not more often than once in an epoch.
    assert plan.config.train_cfg.val_interval == iterations // epochs
    assert f"{iterations} iterations, {iterations // epochs} for each epoch of" in plan.notes[0]


def test_processes_share_an_epoch(label_maps, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    cfg = own(train_dataloader=label_maps, launcher="pytorch")
    assert step(cfg, epochs=3).config.train_cfg.max_iters == 6


def test_iterations_of_a_config_of_epochs(label_maps):
    loader = dict(label_maps, sampler=dict(type="DefaultSampler", shuffle=True))
    warm_up = dict(type="LinearLR", by_epoch=False, end=3, start_factor=0.1)
    cfg = own(
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=10, val_interval=2),
        param_scheduler=[warm_up, dict(type="MultiStepLR", milestones=[8, 9], by_epoch=True)],
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=1), logger=dict(type="LoggerHook")
        ),
    )
    after = step(cfg, iters=300).config
    assert after.train_cfg.to_dict() == dict(
        type="IterBasedTrainLoop", max_iters=300, val_interval=60
    )
    # 10 epochs had 30 iterations, of which the warm-up took 3.
    assert of_schedulers(after, "end", "milestones") == [dict(end=30), dict(milestones=[240, 270])]
    assert after.default_hooks.checkpoint.to_dict() == dict(
        type="CheckpointHook", interval=30, by_epoch=False
    )
    assert after.default_hooks.logger.log_metric_by_epoch is False


def test_a_warm_up_longer_than_all_epochs_ends_in_a_tenth_of_them(label_maps):
    loader = dict(label_maps, sampler=dict(type="DefaultSampler", shuffle=True))
    warm_up = dict(type="LinearLR", by_epoch=False, end=500, start_factor=0.1)
    cfg = own(
        train_dataloader=loader,
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=36),
        param_scheduler=[warm_up],
    )
    plan = step(cfg, epochs=20)
    assert plan.config.param_scheduler[0].end == 6
    assert plan.notes[-1] == (
        "`epochs=20`: the warm-up takes a tenth of the run, 6 iterations, not 278"
    )


@pytest.mark.parametrize(
    ("parts", "asked", "message"),
    [
        (
            dict(param_scheduler=[dict(type="FancyLR", end=1000)]),
            dict(iters=10),
            r"^`iters=10`: param_scheduler\.0 is a FancyLR, which cannot be scaled .* PolyLR",
        ),
        (
            dict(param_scheduler=dict(a=[dict(type="mmx.OtherLR")], b=[dict(type="PolyLR")])),
            dict(iters=10),
            r"^`iters=10`: param_scheduler\.a\.0 is a OtherLR",
        ),
        (
            dict(default_hooks=dict(param_scheduler=dict(type="YOLOv5ParamSchedulerHook"))),
            dict(iters=10),
            r"default_hooks\.param_scheduler is a YOLOv5ParamSchedulerHook",
        ),
        (
            dict(
                train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=3),
                custom_hooks=[dict(type="SetEpochInfoHook")],
            ),
            dict(iters=10),
            r"custom_hooks\.0 is a SetEpochInfoHook, which counts epochs: .* `epochs`",
        ),
        (
            dict(train_dataloader=dict(batch_size=1, sampler=dict(type="ClassAwareSampler"))),
            dict(epochs=1),
            r"train_dataloader\.sampler is a ClassAwareSampler, .* `iters`",
        ),
        (dict(train_cfg=dict(type="MyLoop")), dict(epochs=1), "neither max_epochs nor max_iters"),
        (dict(train_cfg=None), dict(epochs=1), "has no train_cfg: it is a part of a config"),
        ({}, dict(val_every=2), "`val_every=2`: the config has no validation"),
    ],
)
def test_what_cannot_be_scaled_is_named(parts, asked, message):
    with pytest.raises(ValueError, match=message):
        step(own(**parts), **asked)


def test_missing_data_is_named_where_epochs_become_iterations():
    with pytest.raises(FileNotFoundError, match=r"data root .* does not exist"):
        scheduled(SEGMENTERS[0], epochs=3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(epochs=0), "`epochs` is a whole number from 1, got 0"),
        (dict(iters=-5), "`iters` is a whole number from 1, got -5"),
        (dict(val_every=1.5), "`val_every` is a whole number from 1, got 1.5"),
        (dict(epochs=True), "`epochs` is a whole number from 1, got True"),
        (dict(epochs=2, iters=5), "`epochs=2` and `iters=5` are two lengths: give one"),
        (dict(lr=0.0), "`lr` is a finite number above 0, got 0.0"),
        (dict(lr="1e-4"), "`lr` is a finite number above 0, got '1e-4'"),
        (dict(lr=float("nan")), "`lr` is a finite number above 0, got nan"),
    ],
)
def test_options_that_make_no_sense(asked, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RunOptions("a.py", **asked)


def planned(config: Path, **asked: object) -> Plan:
    plan = read_given_config(Plan(RunOptions(str(config), **asked)))
    return set_schedule(set_overrides(plan))


def test_what_cfg_options_set_is_not_scaled_but_a_length_gives_way():
    given = {"train_cfg.max_epochs": 3, "param_scheduler.1.milestones": [8, 11]}
    plan = planned(DETECTORS[0], epochs=12, cfg_options=given)
    cfg = plan.config
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 12
    assert cfg.param_scheduler[0].end == 167  # a third of the recipe's, not four times that
    assert cfg.param_scheduler[1].milestones == [8, 11]
    assert plan.notes[0] == "`epochs=12` wins over train_cfg.max_epochs=3 of `cfg_options`"


def test_val_every_writes_checkpoints_at_least_as_often():
    cfg = planned(SEGMENTERS[0], val_every=1000).config
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 1000
    cfg = planned(DETECTORS[0], val_every=4).config
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (4, 1)


def test_val_every_counts_what_the_run_counts():
    plan = planned(DETECTORS[0], iters=5000, val_every=2000)
    assert plan.config.train_cfg.val_interval == 2000
    assert (
        plan.notes[-1] == "`val_every=2000`: a validation every 2000 iterations, and after the last"
    )
    plan = planned(DETECTORS[0], epochs=4, val_every=9)
    assert (
        plan.notes[-1]
        == "`val_every=9`: the run has 4 epochs, so there is one validation, at its end"
    )
