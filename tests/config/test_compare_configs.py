"""Configs beside their recipe and each other."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config.compare_configs import ABSENT, config_differences


def found(one, two):
    return {
        tuple(change.keys): change.values
        for change in config_differences([Config(one), Config(two)])
    }


def test_values_that_differ_by_dotted_keys():
    one = dict(model=dict(arch="tiny", heads=[dict(n=80), dict(n=3)]), lr=1e-4, same=(1, 2))
    two = dict(model=dict(arch="atto", heads=[dict(n=5), dict(n=3)]), seed=0, same=[1, 2])
    assert found(one, two) == {
        ("model.arch",): ("'tiny'", "'atto'"),
        ("model.heads.0.n",): ("80", "5"),
        ("lr",): ("0.0001", ABSENT),
        ("seed",): (ABSENT, "0"),
    }


def test_the_same_change_in_several_places_is_one():
    one, two = (
        {f"{split}_dataloader": dict(dataset=dict(data_root=root)) for split in ("train", "val")}
        for root in ("data", "elsewhere")
    )
    keys = ("train_dataloader.dataset.data_root", "val_dataloader.dataset.data_root")
    assert found(one, two) == {keys: ("'data'", "'elsewhere'")}


def test_what_the_tools_always_set_is_no_difference():
    mine = dict(type="MyHook", _scope_="mmdet")
    one = dict(lr=1, custom_hooks=[dict(type="MyHook")])
    two = dict(
        lr=1, custom_hooks=[dict(type="StrictLoadHook"), mine], work_dir="w", launcher="none"
    )
    assert found(one, two) == {}
    assert found(dict(lr=1), dict(lr=1, custom_hooks=[dict(type="StrictLoadHook")])) == {}
