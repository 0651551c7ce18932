"""A learning rate sets the optimizer's, and what is stated as a rate beside it."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.batch import set_batch
from convnext_dense.config.steps.learning_rate import set_learning_rate


def wrapper(lr: float | None = 1e-4, kind: str = "OptimWrapper", **more: object) -> dict:
    optimizer = dict(type="AdamW", weight_decay=0.05)
    if lr is not None:
        optimizer["lr"] = lr
    return dict(type=kind, optimizer=optimizer, **more)


def step(lr: float, replaced: dict | None = None, **parts: object) -> Plan:
    cfg = Config(dict(optim_wrapper=wrapper()) | parts)
    options = RunOptions(cfg, lr=lr, cfg_options=dict.fromkeys(replaced or {}, 7.0))
    return set_learning_rate(Plan(options, config=cfg, replaced=replaced or {}))


@pytest.mark.parametrize("kind", ["OptimWrapper", "AmpOptimWrapper", "CpuAmpOptimWrapper"])
def test_layers_keep_their_ratios(kind):
    paramwise = dict(decay_rate=0.7, custom_keys=dict(head=dict(lr_mult=10.0)))
    plan = step(2e-4, optim_wrapper=wrapper(kind=kind, paramwise_cfg=paramwise))
    assert plan.config.optim_wrapper.optimizer.lr == 2e-4
    assert plan.config.optim_wrapper.paramwise_cfg.to_dict() == paramwise
    assert plan.notes == ("`lr=0.0002`: the config has 0.0001",)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (dict(type="CosineAnnealingLR", eta_min=1e-5), dict(eta_min=1e-4)),
        (dict(type="OneCycleLR", eta_max=3e-4), dict(eta_max=3e-3)),
        (dict(type="OneCycleLR", eta_max=[3e-4, 1e-4]), dict(eta_max=[3e-3, 1e-3])),
        (dict(type="PolyLR", eta_min=0.0), dict(eta_min=0.0)),
        (dict(type="mmseg.PolyLRRatio", eta_min=1e-6, power=0.9), dict(eta_min=1e-5, power=0.9)),
        (dict(type="ReduceOnPlateauLR", min_value=1e-6), dict(min_value=1e-5)),
        (dict(type="LinearParamScheduler", param_name="lr", start_factor=0.1), {}),
        (dict(type="PolyParamScheduler", param_name="lr", eta_min=1e-6), dict(eta_min=1e-5)),
        # Momentums and factors are no rates.
        (dict(type="CosineAnnealingMomentum", eta_min=0.8), dict(eta_min=0.8)),
        (dict(type="PolyParamScheduler", param_name="momentum", eta_min=0.8), dict(eta_min=0.8)),
        (dict(type="CosineAnnealingLR", eta_min_ratio=0.1), dict(eta_min_ratio=0.1)),
    ],
)
def test_rates_of_schedulers_follow(scheduler, expected):
    plan = step(1e-3, param_scheduler=[scheduler])
    (after,) = plan.config.param_scheduler
    assert {key: after[key] for key in expected} == expected


def test_a_rate_that_cfg_options_set_stays():
    key = "param_scheduler.0.eta_min"
    plan = step(1e-3, {key: 1e-5}, param_scheduler=[dict(type="PolyLR", eta_min=7.0)])
    assert plan.config.param_scheduler[0].eta_min == 7.0
    assert plan.notes[-1] == f"`lr=0.001`: {key} stays 7, as `cfg_options` set it"


def test_wins_over_cfg_options_and_scales_from_the_config():
    key = "optim_wrapper.optimizer.lr"
    parts = dict(
        optim_wrapper=wrapper(7.0), param_scheduler=dict(type="PolyLR", eta_min=1e-5, end=9)
    )
    plan = step(1e-3, {key: 1e-4}, **parts)
    assert plan.config.param_scheduler.eta_min == 1e-4
    assert plan.notes[0] == f"`lr=0.001` wins over {key}=7.0 of `cfg_options`"


def test_several_optimizers_of_one_rate_get_it():
    both = dict(constructor="Own", a=wrapper(), b=wrapper())
    cfg = step(1e-3, optim_wrapper=both).config
    assert cfg.optim_wrapper.a.optimizer.lr == cfg.optim_wrapper.b.optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            dict(optim_wrapper=dict(constructor="Own", a=wrapper(), b=wrapper(1e-3))),
            "`lr=0.1`: the config has optimizers of different rates: "
            "optim_wrapper.a.optimizer.lr=0.0001, optim_wrapper.b.optimizer.lr=0.001",
        ),
        (dict(optim_wrapper=dict(type="OptimWrapper")), "`lr=0.1`: optim_wrapper has no optimizer"),
        (dict(optim_wrapper=None), "has no optim_wrapper: it is a part of a config"),
        (
            dict(optim_wrapper=wrapper(None), param_scheduler=[dict(type="PolyLR", eta_min=1e-6)]),
            "`lr=0.1`: param_scheduler.0.eta_min=1e-06 cannot follow, since the config states no "
            "learning rate",
        ),
    ],
)
def test_what_has_no_single_rate_is_named(parts, message):
    with pytest.raises(ValueError) as raised:
        step(0.1, **parts)
    assert message in str(raised.value)


def test_says_what_auto_scale_lr_makes_of_it():
    cfg = Config(
        dict(
            optim_wrapper=wrapper(),
            train_cfg=dict(max_epochs=1),
            train_dataloader=dict(batch_size=4),
            auto_scale_lr=dict(base_batch_size=16),
            launcher="none",
        )
    )
    options = RunOptions(cfg, lr=1e-3, auto_scale_lr=True)
    plan = set_batch(set_learning_rate(Plan(options, config=cfg)))
    assert plan.notes[-1] == (
        "`auto_scale_lr`: 4 images per optimizer step make of `lr=0.001` 0.00025, since it counts "
        "for 16 images"
    )
