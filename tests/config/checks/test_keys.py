"""Which keys may be set in a config, and what is said of the others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.config.checks.keys import UnknownKeyError, check_keys
from convnext_dense.config.checks.signatures import arguments_of
from convnext_dense.config_tree import walk

from ...configs import load


@pytest.fixture(scope="module")
def detector():
    return load("det/mask_rcnn_convnext_t_coco.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("modle.backbone.arch", "model.backbone.arch"),
        ("model.backbone.arhc", "model.backbone.arch"),
        ("model.backbone.drop_path", "model.backbone.drop_path_rate"),
        ("backbone.arch", "model.backbone.arch"),
        ("max_epochs", "train_cfg.max_epochs"),
        ("train_cfg.max_epoch", "train_cfg.max_epochs"),
        ("lr", "optim_wrapper.optimizer.lr"),
        ("optim_wrapper.optimiser.lr", "optim_wrapper.optimizer.lr"),
        ("default_hooks.checkpoint.max_keep_ckpt", "default_hooks.checkpoint.max_keep_ckpts"),
        ("train_dataloader.batchsize", "train_dataloader.batch_size"),
        (
            "train_dataloader.dataset.pipeline.0.to_flot32",
            "train_dataloader.dataset.pipeline.0.to_float32",
        ),
        ("val_evaluator.clswise", "val_evaluator.classwise"),
        ("randomness.sead", "randomness.seed"),
        ("reinit_head", "reinit_heads"),
        ("model.backbone.init_cfg.final_nrom", "model.backbone.init_cfg.final_norm"),
        ("model.test_cfg.rcnn.score_treshold", "model.test_cfg.rcnn.score_thr"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest(detector, key, nearest):
    with pytest.raises(UnknownKeyError) as refused:
        check_keys(detector, {key: None})
    assert refused.value.key == key
    assert str(refused.value).startswith(f"there is no key {key}")
    assert str(refused.value).endswith(f"; the nearest is {nearest}")


@pytest.mark.parametrize(
    "options",
    [
        # Of a class's signature, and of its base class's, to which **kwargs go.
        {"model.backbone.with_cp": True},
        {"model.roi_head.bbox_head.loss_cls.class_weight": [1]},
        {"optim_wrapper.accumulative_counts": 2},
        {"default_hooks.checkpoint.save_best": "auto"},
        {"train_dataloader.dataset.indices": 10},
        {"train_pipeline.0.to_float32": True},
        {"optim_wrapper.optimizer.type": "torch.optim.Adagrad"},
        {"model.test_cfg.rcnn.nms.type": "soft_nms"},
        # Of the class that is set along with it.
        {"train_cfg.type": "IterBasedTrainLoop", "train_cfg.max_iters": 3},
        {
            "optim_wrapper.optimizer._delete_": True,
            "optim_wrapper.optimizer.type": "SGD",
            "optim_wrapper.optimizer.lr": 0.1,
            "optim_wrapper.optimizer.momentum": 0.9,
        },
        # Of dicts without a class.
        {"train_dataloader.prefetch_factor": 2},
        {"randomness.seed": 1},
        {"reinit_heads": True},
        {"find_unused_parameters": True},
        {"compile": True},
        {"model.backbone.init_cfg.ema": True},
        {"model.backbone.arch._delete_": True, "model.backbone.arch.depths": [1, 1, 1, 1]},
        {"optim_wrapper.clip_grad._delete_": True, "optim_wrapper.clip_grad.max_norm": 1.0},
        {"optim_wrapper.paramwise_cfg.custom_keys.norm.lr_mult": 0.1},
        # What builders take before the class.
        {"default_hooks.checkpoint.priority": "LOW"},
        {"param_scheduler.0.convert_to_iter_based": True},
        {"custom_hooks": [dict(type="EMAHook")]},
        # What is set whole after its parts.
        {"val_dataloader.num_workers": 0, "val_dataloader": None},
        dict(model=dict(backbone=dict(drop_path_rate=0.1))),
    ],
    ids=lambda options: "+".join(options),
)
def test_known_keys(detector, options):
    check_keys(detector, options)


@pytest.mark.slow
def test_a_sliding_test_of_a_segmenter(upernet):
    check_keys(upernet, {"model.test_cfg.mode": "slide", "model.test_cfg.crop_size": [8, 8]})


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_every_key_of_a_config_is_known_and_its_misspelling_is_not(detector, data):
    keys = [f"{path}.{name}" for path, node in walk(detector._cfg_dict) for name in node if path]
    key = data.draw(st.sampled_from(sorted(keys)))
    if not any(part.isdecimal() for part in key.rsplit(".", 1)[-1:]):
        check_keys(detector, {key: None})
    parts = key.split(".")
    index = data.draw(st.sampled_from([i for i, part in enumerate(parts) if len(part) > 3]))
    at = data.draw(st.integers(1, len(parts[index]) - 1))
    parts[index] = parts[index][:at] + "q" + parts[index][at:]
    free = {"custom_keys", "default_hooks", "metainfo", "data_prefix", "custom_cfg"}
    if not free & set(key.split(".")):
        with pytest.raises(UnknownKeyError):
            check_keys(detector, {".".join(parts): 1})


def test_a_forced_key_and_those_below_it(detector):
    check_keys(detector, {"mine.a": 1, "mine.b.c": 2}, forced=["mine"])
    with pytest.raises(UnknownKeyError):
        check_keys(detector, {"mine2.a": 1}, forced=["mine"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"a..b": 1}, "'a..b' is not a key"),
        ({"model": 1, "model.type": 2}, "model and model.type cannot both be set"),
        ({"model.backbone.arch.depths": [1]}, "model.backbone.arch is 'tiny', which has no keys"),
        ({"train_pipeline.99.type": "X"}, "without entry '99': give an index from 0 to"),
        ({"val_evaluator": 5}, "val_evaluator is a dict, but 5 is not"),
        ({"model.type": "MaskRCN"}, "is 'MaskRCN', and .* the nearest is MaskRCNN"),
        ({"optim_wrapper.optimizer.type": "Adamw"}, "no such class .* the nearest is AdamW"),
        ({"train_pipeline.type": "X"}, "without entry 'type': give an index"),
        (
            {"train_pipeline.0": "X"},
            "train_pipeline.0 cannot be set by itself: give the whole list train_pipeline",
        ),
    ],
)
def test_keys_that_cannot_be_set(detector, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_keys(detector, options)


def test_arguments_of_base_classes():
    class Base:
        def __init__(self, a): ...

    class Passing(Base):
        def __init__(self, b, **kwargs): ...

    class Keeping:
        def __init__(self, b, **kwargs): ...

    class Own(Passing):
        def __init__(self, c): ...

    assert arguments_of(Passing).names == {"a", "b"} and not arguments_of(Passing).is_open
    assert arguments_of(Keeping).is_open
    assert arguments_of(Own).names == {"c"} and not arguments_of(Own).is_open
