"""Meta's files of isotropic networks: load, inspect, convert and verify."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.checkpoints import find_convnext
from convnext_dense.checkpoints.arch_names import describe_arch
from convnext_dense.checkpoints.convert import convert
from convnext_dense.checkpoints.layouts import META_ISOTROPIC
from convnext_dense.checkpoints.verify import verify

DEPTH, DIM = 3, 8
ARCH = dict(depths=(DEPTH,), channels=(DIM,), isotropic=True)
either = pytest.mark.parametrize("layer_scale", [0.0, 1e-6], ids=["no layer scale", "layer scale"])


def backbone(arch=ARCH, **kwargs):
    return ConvNeXt(arch, out_indices=(0,), norm_out=False, **kwargs)


@pytest.fixture
def meta(references, randomise):
    return lambda layer_scale=0.0: randomise(references.MetaIsotropic(DEPTH, DIM, layer_scale))


@either
def test_metas_file_loads(layer_scale, meta, saved, assert_parity):
    model, image = meta(layer_scale), torch.randn(2, 3, 32, 80)
    path = saved(dict(model=model.state_dict()), "convnext_iso_small_1k_224_ema.pth")
    net = backbone(layer_scale_init_value=layer_scale)
    report = load_weights(net, path)
    assert (report.layout, report.key) == ("meta isotropic", "model")
    assert report.licence == "MIT (facebookresearch/ConvNeXt)"
    assert set(report.dropped) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    assert_parity(net, model.stages_of(image), image)


def test_a_published_name_is_recognised(references):
    with torch.device("meta"):
        state = references.MetaIsotropic(18, 384).state_dict()
    assert describe_arch(find_convnext.find_convnext(state, "a file").arch) == "arch 'iso_small'"


def test_the_final_norm_becomes_the_output_norm(meta, saved):
    model = meta()
    net = ConvNeXt(ARCH, out_indices=(0,))
    load_weights(net, model.state_dict(), final_norm="use")
    assert torch.equal(net.norm0.weight, model.norm.weight)


def test_our_own_file_loads_again(randomise, saved):
    net, twin = randomise(backbone()), backbone()
    report = load_weights(twin, saved(net.state_dict()))
    assert (report.layout, report.missing) == ("meta", ())
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
@either
def test_verify_and_the_way_there_and_back(layer_scale, meta, tmp_path):
    state = meta(layer_scale).state_dict()
    net = backbone(layer_scale_init_value=layer_scale)
    load_weights(net, state)
    path = tmp_path / "back.pth"
    conversion = convert(net.state_dict(), path)
    assert (conversion.source, conversion.target) == ("meta", "meta isotropic")
    back = torch.load(path)["model"]
    assert back.keys() == {name for name in state if not name.startswith(("norm.", "head."))}
    assert all(torch.equal(back[name], state[name]) for name in back)
    for source in (state, net.state_dict(), path):
        (check,) = verify(source)
        assert check.shape == (1, DIM, 4, 6)
        assert check.error <= 1e-5


def test_verify_finds_a_wrong_rule(meta, monkeypatch):
    rules = dict(META_ISOTROPIC.rules)
    del rules["stages.{s}.{b}.norm"]
    rules["stages.{s}.{b}.norm.weight"] = "blocks.{b}.norm.bias"
    rules["stages.{s}.{b}.norm.bias"] = "blocks.{b}.norm.weight"
    wrong = dataclasses.replace(META_ISOTROPIC, rules=rules)
    monkeypatch.setattr(find_convnext, "LAYOUTS", (wrong,))
    assert verify(meta().state_dict())[0].error > 1e-2


def test_a_whole_model_keeps_our_names(randomise, tmp_path):
    whole = torch.nn.ModuleDict(dict(backbone=backbone(), head=torch.nn.Conv2d(DIM, 3, 1)))
    convert(dict(state_dict=randomise(whole).state_dict()), tmp_path / "model.pth")
    written = torch.load(tmp_path / "model.pth")["state_dict"]
    assert written.keys() == whole.state_dict().keys()


@pytest.mark.parametrize("to", ["timm", "torchvision", "transformers", "mmpretrain"])
def test_other_libraries_have_no_place_for_it(to, meta, tmp_path):
    with pytest.raises(ValueError, match=f"isotropic, which {to} has no network for.*'meta' alone"):
        convert(meta().state_dict(), tmp_path / "model.pth", to)


@pytest.mark.slow
def test_refuses_another_network_by_name(meta, references):
    with pytest.raises(RuntimeError, match=r"isotropic.*does not fit the backbone, which is arch"):
        load_weights(ConvNeXt("atto"), meta().state_dict())
    with torch.device("meta"):
        small = references.MetaIsotropic(18, 384).state_dict()
    with pytest.raises(RuntimeError, match=r"arch 'iso_small' in the layout 'meta isotropic'"):
        load_weights(backbone(), small)
    staged = references.Meta((1, 1), (8, 16)).state_dict()
    with pytest.raises(RuntimeError, match=r"does not fit the backbone, which is arch.*isotropic"):
        load_weights(backbone(), staged)


def test_refuses_what_is_not_whole(meta, tmp_path):
    state = meta().state_dict()
    del state["blocks.1.norm.bias"]
    with pytest.raises(RuntimeError, match=r"missing.*norm\.bias"):
        load_weights(backbone(), state)
    with pytest.raises(RuntimeError, match="not hold a whole ConvNeXt"):
        convert(state, tmp_path / "model.pth")
