"""The check passes on true loads of every layout, and fails where a rule is wrong."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from convnext_dense.checkpoints import find_convnext
from convnext_dense.checkpoints.layouts import LAYOUTS
from convnext_dense.checkpoints.verify import verify

pytestmark = pytest.mark.slow

DEPTHS, DIMS = (1, 2, 2, 1), (8, 16, 24, 32)


@pytest.fixture
def sources(references, randomise, timm):
    """A state dict in each layout, of random weights."""
    from timm.models.convnext import ConvNeXt as TimmConvNeXt

    class Segmenter(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = references.MMPretrain(DEPTHS, DIMS, output_norms=True)
            self.decode_head = torch.nn.Conv2d(32, 3, 1)

    models = dict(
        meta=references.Meta(DEPTHS, DIMS, grn=True),
        dense=references.Meta(DEPTHS, DIMS, output_norms=True),
        fcmae=references.Fcmae(DEPTHS, DIMS),
        timm=TimmConvNeXt(depths=DEPTHS, dims=DIMS, conv_mlp=True),
        features_only=timm.create_model("convnextv2_atto", features_only=True),
        torchvision=references.Torchvision(DEPTHS, DIMS),
        mmpretrain=references.MMPretrainClassifier(DEPTHS, DIMS, grn=True),
        segmenter=Segmenter(),
    )
    return {name: randomise(model).state_dict() for name, model in models.items()}


def test_true_loads_pass(sources):
    for name, state in sources.items():
        checks = verify(state)
        stages = [f"stage {i}" for i in range(4)]
        norms = [f"norm {i}" for i in range(4)] if name in ("dense", "segmenter") else []
        assert sorted(check.name for check in checks) == sorted(stages + norms), name
        assert max(check.error for check in checks) <= 1e-5, name


def test_true_loads_of_transformers_pass(transformers, randomise):
    sizes = dict(hidden_sizes=list(DIMS), depths=list(DEPTHS))
    for model in (
        transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**sizes)),
        transformers.ConvNextV2Model(transformers.ConvNextV2Config(**sizes)),
        transformers.DINOv3ConvNextModel(transformers.DINOv3ConvNextConfig(**sizes)),
    ):
        assert max(check.error for check in verify(randomise(model).state_dict())) <= 1e-5


def test_a_wrong_rule_is_found_out(sources, monkeypatch):
    # Both have the same shapes, so that nothing but the numbers can tell.
    wrong = {"stages.{s}.{b}.grn.gamma": "stages.{s}.{b}.grn.beta"}
    wrong |= {"stages.{s}.{b}.grn.beta": "stages.{s}.{b}.grn.gamma"}
    layouts = [dataclasses.replace(one, rules={**one.rules, **wrong}) for one in LAYOUTS[:1]]
    monkeypatch.setattr(find_convnext, "LAYOUTS", layouts)
    assert max(check.error for check in verify(sources["meta"])) > 1e-2


def test_a_wrong_reshape_is_found_out(sources, monkeypatch):
    real = find_convnext.own_shape

    def transposed(name, value):
        value = real(name, value)
        return value.mT if value.ndim == 4 else value

    monkeypatch.setattr(find_convnext, "own_shape", transposed)
    assert max(check.error for check in verify(sources["fcmae"])) > 1e-2


def test_what_is_not_whole_is_refused(sources):
    del sources["meta"]["stages.2.1.dwconv.bias"]
    with pytest.raises(
        RuntimeError, match=r"not hold a whole ConvNeXt.*stages\.2\.1\.dwconv\.bias"
    ):
        verify(sources["meta"])


def test_features_that_are_no_numbers_are_found_out(sources):
    sources["meta"]["stages.1.0.pwconv1.bias"][0] = 3e38  # finite, which its features are not
    errors = {check.name: check.error for check in verify(sources["meta"])}
    assert errors["stage 0"] <= 1e-5
    assert not errors["stage 3"] <= 1e-5
