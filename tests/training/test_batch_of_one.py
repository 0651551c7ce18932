"""Batch norm over maps of one pixel is found before a batch of one image reaches it."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.utils.data import DataLoader

import convnext_dense  # noqa: F401  first, since it makes mmseg importable
from convnext_dense.training import batch_of_one
from convnext_dense.training.batch_of_one import check_batch_of_one

POOLING = {
    "PSPHead": dict(pool_scales=(1, 2)),
    "ASPPHead": dict(dilations=(1, 2)),
    "UPerHead": dict(pool_scales=(1, 2), in_channels=[8, 16], in_index=[0, 1]),
    "APCHead": dict(pool_scales=(1, 2)),
}


def config(head: str, norm: str = "BN", size: int = 64, **kwargs: object) -> Config:
    norm_cfg = dict(type=norm, **(dict(num_groups=2) if norm == "GN" else {}))
    decode_head = dict(in_channels=16, in_index=1, channels=8, num_classes=3, type=head)
    backbone = dict(type="ConvNeXt", arch=dict(depths=(1, 1), channels=(8, 16)), out_indices=(0, 1))
    model = dict(
        type="EncoderDecoder",
        data_preprocessor=dict(type="SegDataPreProcessor", size=(size, size)),
        backbone=backbone,
        decode_head=decode_head | dict(norm_cfg=norm_cfg) | kwargs,
    )
    return Config(dict(default_scope="mmseg", model=model))


def loader(images: int, batch_size: int, **kwargs: object) -> DataLoader:
    data = list(range(images))
    return DataLoader(data, batch_size, sampler=DefaultSampler(data), **kwargs)


def built(cfg: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build(cfg.model).train()


def can_train_on_one(model: nn.Module) -> bool:
    try:
        model.decode_head(model.extract_feat(torch.zeros(1, 3, 64, 64)))
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN"])
@pytest.mark.parametrize("head", [*POOLING, "FCNHead"])
def test_what_is_refused_is_what_torch_refuses(head, norm):
    cfg = config(head, norm, **POOLING.get(head, {}))
    # Without other processes the runner turns SyncBN into BN, which the CPU can run.
    model = built(config(head, "BN" if norm == "SyncBN" else norm, **POOLING.get(head, {})))
    if can_train_on_one(model):
        check_batch_of_one(cfg, model, loader(4, 1))
    else:
        with pytest.raises(ValueError, match="batch_size is 1, and batch norm cannot") as refused:
            check_batch_of_one(cfg, model, loader(4, 1))
        assert " decode_head." in str(refused.value)
        assert "model.decode_head.norm_cfg.type=GN" in str(refused.value)
        assert norm != "GN"


def test_the_last_batch_of_an_epoch():
    cfg = config("PSPHead", **POOLING["PSPHead"])
    model = built(cfg)
    check_batch_of_one(cfg, model, loader(4, 2))
    check_batch_of_one(cfg, model, loader(5, 2, drop_last=True))
    with pytest.raises(ValueError, match="the last batch of an epoch holds one of the 5 images"):
        check_batch_of_one(cfg, model, loader(5, 2))


def test_sync_bn_of_several_processes_sees_them_all(monkeypatch):
    cfg = config("PSPHead", "SyncBN", **POOLING["PSPHead"])
    model = built(cfg)
    monkeypatch.setattr(batch_of_one, "get_world_size", lambda: 2)
    check_batch_of_one(cfg, model, loader(4, 1))


def test_a_crop_of_the_stride_leaves_one_pixel():
    # Two stages divide by 8.
    cfg = config("FCNHead", size=8)
    with pytest.raises(ValueError, match=r"decode_head.convs.0.bn"):
        check_batch_of_one(cfg, built(cfg), loader(4, 1))


@pytest.mark.slow
def test_a_frozen_norm_uses_what_it_has_learnt(monkeypatch):
    cfg = config("PSPHead", **POOLING["PSPHead"])
    head = type(built(cfg).decode_head)
    monkeypatch.setattr(head, "train", lambda self, mode=True: nn.Module.train(self, False))
    check_batch_of_one(cfg, built(cfg), loader(4, 1))
