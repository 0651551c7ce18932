"""Numbers that make no sense for a run, wherever a config has them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.config.checks.values import check_sections, check_values
from convnext_dense.config.read_config import read_config
from convnext_dense.limits import count_cores

from ...configs import CONFIGS, load

SEGMENTER = "seg/upernet_convnext_t_ade20k.py"

COUNTS = [
    "train_cfg.max_iters",
    "train_cfg.max_epochs",
    "train_cfg.val_interval",
    "train_dataloader.batch_size",
    "val_dataloader.batch_size",
    "optim_wrapper.accumulative_counts",
    "auto_scale_lr.base_batch_size",
    "default_hooks.logger.interval",
    "default_hooks.checkpoint.interval",
    "default_hooks.checkpoint.max_keep_ckpts",
    "model.test_cfg.crop_size",
]
NUMBERS = [
    "optim_wrapper.optimizer.lr",
    "optim_wrapper.loss_scale",
    "optim_wrapper.clip_grad.max_norm",
    "param_scheduler.0.gamma",
    "model.data_preprocessor.std",
]
NO_COUNT = st.one_of(
    st.integers(max_value=-2),
    st.sampled_from([0, 0.5, True, "many", float("nan"), float("inf"), float("-inf")]),
)
NOT_POSITIVE = st.one_of(
    st.floats(max_value=0), st.sampled_from(["fast", True, float("nan"), float("inf")])
)


def with_values(values: dict) -> Config:
    cfg = load(SEGMENTER)
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.0)
    cfg.merge_from_dict(values)
    return cfg


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(key=st.sampled_from(COUNTS), value=NO_COUNT)
def test_counts(key, value):
    with pytest.raises(ValueError, match=rf"^{key} is a whole number .*, got "):
        check_values(with_values({key: value}))


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(key=st.sampled_from(NUMBERS), value=NOT_POSITIVE)
def test_numbers(key, value):
    with pytest.raises(ValueError, match=f"^{key} is .*, got "):
        check_values(with_values({key: value}))


@pytest.mark.parametrize(
    "values",
    [
        {"default_hooks.checkpoint.interval": -1},
        {"default_hooks.checkpoint.max_keep_ckpts": -1},
        {"optim_wrapper.loss_scale": "dynamic"},
        {"optim_wrapper.loss_scale": dict(init_scale=512.0)},
        {"train_cfg.max_iters": 8e3},
        {"train_dataloader.num_workers": 0},
    ],
    ids=lambda values: "+".join(values),
)
def test_values_with_a_meaning_of_their_own(values):
    check_values(with_values(values), ["train"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", sorted(CONFIGS.glob("[!_]*/*_t_*.py")), ids=lambda path: path.stem
)
def test_the_recipes_pass(recipe):
    check_values(read_config(recipe))


def test_workers_are_counted_where_they_start():
    cfg = with_values({"val_dataloader.num_workers": 4 * count_cores() + 1})
    check_values(cfg, ["train"])
    with pytest.raises(ValueError, match=r"^val_dataloader.num_workers is at most \d+ on this"):
        check_values(cfg, ["train", "val"])


@pytest.mark.parametrize(("name", "value"), [("persistent_workers", True), ("prefetch_factor", 2)])
def test_settings_of_workers_that_are_not_there(name, value):
    cfg = with_values({"test_dataloader.num_workers": 0})
    cfg.test_dataloader.persistent_workers = False
    cfg.test_dataloader[name] = value
    with pytest.raises(ValueError, match=rf"test_dataloader.{name} is .*num_workers is 0"):
        check_values(cfg)


@pytest.mark.parametrize(("value", "complaint"), [(None, "has no model"), (5, "model is 5")])
def test_sections(value, complaint):
    cfg = load(SEGMENTER)
    cfg.model = value
    with pytest.raises(ValueError, match=complaint):
        check_sections(cfg, ["model"])


@pytest.mark.parametrize("value", ["many", "False", 0, 2])
@pytest.mark.parametrize(
    "key", ["resume", "auto_scale_lr.enable", "train_dataloader.persistent_workers"]
)
def test_switches(key, value):
    with pytest.raises(ValueError, match=rf"^{key} is True or False, got "):
        check_values(with_values({key: value}))
    check_values(with_values({key: False}))
