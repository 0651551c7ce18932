"""Weights of the networks between ResNet and ConvNeXt: those of the same step load, no others."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.backbone import ResNetToConvNeXt
from convnext_dense.checkpoints.find_step import name_steps
from convnext_dense.checkpoints.whole_model import parameters_for_model

STEM_ONLY = dict(out_indices=(0,))


def torchvision_file(tmp_path, prefix="", **more):
    """Write what torchvision's file of ResNet-50 holds, old ones without counters of batches."""
    net = ResNetToConvNeXt("resnet")
    state = {
        prefix + name: torch.randn_like(value)
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(state | more, tmp_path / "resnet50-0676ba61.pth")
    return str(tmp_path / "resnet50-0676ba61.pth"), state


@pytest.mark.slow
@pytest.mark.parametrize("by", ["load_weights", "init_cfg"])
def test_torchvisions_file_loads(tmp_path, by):
    path, state = torchvision_file(tmp_path)
    if by == "init_cfg":
        net = ResNetToConvNeXt("resnet", init_cfg=dict(type="Pretrained", checkpoint=path))
        net.init_weights()
    else:
        net = ResNetToConvNeXt("resnet")
        report = load_weights(net, path)
        assert report.dropped == {"fc.weight": "classifier", "fc.bias": "classifier"}
        assert report.arch == "roadmap:resnet"
        assert "BSD-3-Clause" in str(report)
    own = net.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items() if name in own)


@pytest.mark.slow
def test_loads_with_a_prefix_for_fewer_outputs_and_other_channels(tmp_path):
    path, state = torchvision_file(tmp_path, prefix="module.backbone.")
    net = ResNetToConvNeXt("resnet", in_channels=4, out_indices=(1,))
    with pytest.raises(RuntimeError, match="adapt_input=True"):
        load_weights(net, path)
    report = load_weights(net, path, adapt_input=True)
    stem = state["module.backbone.conv1.weight"]
    assert torch.allclose(net.conv1.weight[:, 3], stem[:, 0] * 0.75)
    assert "stages beyond the model's last output" in report.dropped.values()


def test_loads_below_a_model_and_with_its_heads():
    def detector():
        model = nn.Module()
        model.backbone = ResNetToConvNeXt("layer_norm", **STEM_ONLY)
        model.neck = nn.Linear(2, 2)
        return model

    torch.manual_seed(0)
    given, backbone_only, whole = detector(), detector(), detector()
    load_weights(backbone_only, given.backbone.state_dict())
    load_weights(whole, given.state_dict())
    assert torch.equal(backbone_only.backbone.conv1.weight, given.backbone.conv1.weight)
    assert not torch.equal(backbone_only.neck.weight, given.neck.weight)
    assert torch.equal(whole.neck.weight, given.neck.weight)


WRONG = {
    "step": ("kernel_5", "move_up_depthwise", "roadmap:kernel_5 and does .*roadmap:move_up_depth"),
    "alike": ("kernel_7", "kernel_9", "roadmap:kernel_7 or roadmap:gelu or roadmap:fewer_act"),
    "norms": ("layer_norm", "fewer_norms", "holds roadmap:layer_norm and"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("held", "wanted", "message"), WRONG.values(), ids=WRONG)
def test_another_step_is_named(held, wanted, message):
    with torch.device("meta"):
        state = ResNetToConvNeXt(held).state_dict()
    with pytest.raises(RuntimeError, match=message):
        load_weights(ResNetToConvNeXt(wanted, **STEM_ONLY), state)


@pytest.mark.slow
def test_the_last_step_and_the_others_are_named():
    with torch.device("meta"):
        convnext = ConvNeXt("base").state_dict()
        step = ResNetToConvNeXt("stage_ratio", "base").state_dict()
    with pytest.raises(
        RuntimeError, match=r"'base'.*roadmap:separate_downsampling:base and does not"
    ):
        load_weights(ResNetToConvNeXt("resnet", **STEM_ONLY), convnext)
    with pytest.raises(RuntimeError, match="holds no ConvNeXt, but roadmap:stage_ratio:base"):
        load_weights(ConvNeXt("atto"), step)
    with pytest.raises(RuntimeError, match="no network between ResNet and ConvNeXt and does not"):
        load_weights(ResNetToConvNeXt("gelu", **STEM_ONLY), {"x.weight": torch.zeros(3)})


def test_what_a_run_recorded_tells_steps_apart_whose_parameters_are_alike():
    net = ResNetToConvNeXt("gelu", **STEM_ONLY)
    meta = dict(convnext_dense=dict(arch="roadmap:gelu"))
    load_weights(net, dict(state_dict=net.state_dict(), meta=meta))
    with pytest.raises(
        RuntimeError, match=r"holds roadmap:gelu and does not fit .*roadmap:kernel_7"
    ):
        load_weights(
            ResNetToConvNeXt("kernel_7", **STEM_ONLY), dict(state_dict=net.state_dict(), meta=meta)
        )


@pytest.mark.slow
def test_other_resnets_are_described():
    state = {
        name: value
        for name, value in ResNetToConvNeXt("resnet", out_indices=(1,)).state_dict().items()
        if not name.startswith("layer2.3")
    }
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"][:32]
    assert (
        name_steps(state, {}) == "a network of ResNet's names with 3, 3, 0, 0 blocks in its stages"
    )


def test_a_test_or_resume_of_a_whole_model_names_the_steps():
    model, other = nn.Module(), nn.Module()
    model.backbone = ResNetToConvNeXt("kernel_5", **STEM_ONLY)
    other.backbone = ResNetToConvNeXt("kernel_7", **STEM_ONLY)
    meta = dict(convnext_dense=dict(arch="roadmap:kernel_5"))
    checkpoint = dict(state_dict=model.state_dict(), meta=meta)
    for resume in (False, True):
        message = "a.pth holds roadmap:kernel_5 and .* whose backbone is roadmap:kernel_7"
        with pytest.raises(RuntimeError, match=message):
            parameters_for_model(other, checkpoint, "a.pth", resume=resume)


def test_there_is_no_norm_for_the_classifiers():
    net = ResNetToConvNeXt("gelu", **STEM_ONLY)
    with pytest.raises(ValueError, match=re.escape("final_norm='use' needs an output norm")):
        load_weights(net, net.state_dict(), final_norm="use")
