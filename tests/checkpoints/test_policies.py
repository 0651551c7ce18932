"""What a user may ask for, whole models, and files that are not to be trusted."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights

from .helpers import ARCH, Detector, assert_holds, backbone, published, refuse, snapshot


class TestPolicies:
    """What a user may ask for, and what happens without."""

    def test_final_norm(self):
        state = published(backbone())
        net = backbone()
        report = load_weights(net, state, final_norm="use")
        assert torch.equal(net.norm1.weight, state["norm.weight"])
        assert report.missing == ("norm0.weight", "norm0.bias")
        assert "it was trained on pooled features, with eps 1e-06" in str(report)
        with pytest.raises(ValueError, match="final_norm is one of drop, use, got 'keep'"):
            load_weights(net, state, final_norm="keep")
        with pytest.raises(ValueError, match="needs an output norm1, but the model has none"):
            load_weights(backbone(out_indices=(0,)), state, final_norm="use")
        with pytest.raises(ValueError, match="and without norm1"):
            load_weights(net, published(net, with_norms=True), final_norm="use")

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_other_input_channels_on_request_as_timm_does(self, channels, timm):
        from timm.models import adapt_input_conv

        net, state = backbone(in_channels=channels), published(backbone())
        stem = "downsample_layers.0.0.weight"
        refuse(net, state, rf"{stem} \(8, 3, 4, 4\) for \(8, {channels}, .*adapt_input=True")
        load_weights(net, state, adapt_input=True)
        want = adapt_input_conv(channels, state[stem])
        torch.testing.assert_close(net.state_dict()[stem], want)

    def test_another_kernel_size_is_refused(self):
        refuse(backbone(kernel_size=9), published(backbone()), r"\(8, 1, 7, 7\) for \(8, 1, 9, 9\)")

    def test_dilated_stages_take_the_same_weights(self):
        arch = dict(depths=(1, 1, 1, 1), channels=(4, 4, 4, 4))
        net = ConvNeXt(arch, output_stride=8)
        state = published(ConvNeXt(arch), with_norms=True)
        assert load_weights(net, state).missing == ()
        assert_holds(net, state)

    def test_not_strict_loads_what_fits_and_names_the_rest(self):
        wider = backbone(arch=dict(depths=(1, 2), channels=(8, 24)))
        state = published(backbone())
        report = load_weights(wider, state, strict=False)
        assert torch.equal(wider.stages[0][0].gamma, state["stages.0.0.gamma"])
        assert any(name.startswith("stages.1.0.gamma (16,) for (24,)") for name in report.dropped)
        assert "of another shape" in str(report)

    def test_not_strict_still_refuses_a_file_of_which_nothing_fits(self):
        other = backbone(arch=dict(depths=(1, 2), channels=(24, 40), grn=True))
        refuse(other, published(backbone()), "does not fit", strict=False)

    def test_two_networks_in_a_file(self):
        state = {f"{who}.backbone.{n}": v for n, v in published(backbone()).items() for who in "ab"}
        refuse(backbone(), state, "2 ConvNeXts: choose one with prefix=, one of 'a.backbone.', 'b.")
        assert load_weights(backbone(), state, prefix="b").prefix == "backbone."

    def test_average_that_is_not_there(self):
        refuse(backbone(), published(backbone()), "no averaged weights under 'model_ema'", ema=True)

    @pytest.mark.parametrize("ema", [False, True])
    def test_mmengine_keeps_its_averages_as_the_state_dict(self, ema, saved):
        averaged, plain = published(backbone()), published(backbone())
        content = dict(state_dict=averaged, ema_state_dict=dict(plain, steps=torch.tensor(3)))
        net = backbone()
        report = load_weights(net, saved(content), ema=ema)
        assert (report.key, report.left) == ("state_dict", ("ema_state_dict",))
        assert_holds(net, averaged, except_for=("norm",))

    def test_wrappers_are_stripped(self):
        state = {f"module._orig_mod.{n}": v for n, v in published(backbone()).items()}
        assert load_weights(backbone(), state).prefix == "module._orig_mod."


class TestWholeModel:
    @pytest.mark.parametrize("wrapper", ["", "module."])
    def test_loads_with_its_heads(self, wrapper, saved, randomise):
        trained, net = randomise(Detector(arch=ARCH | dict(grn=True))), None
        state = {wrapper + name: value for name, value in trained.state_dict().items()}
        for name in state:
            if ".grn." in name:
                state[name] = state[name].reshape(1, 1, 1, -1)
        state |= {"ema_backbone_norm": torch.ones(1)} if not wrapper else {}
        net = Detector(arch=ARCH | dict(grn=True))
        report = load_weights(net, saved(dict(state_dict=state, meta={})))
        assert set(report.loaded) == set(net.state_dict())
        assert_holds(net, trained.state_dict())

    def test_a_wrapped_model(self, randomise):
        trained, net = randomise(Detector()), torch.nn.DataParallel(Detector())
        load_weights(net, trained.state_dict())
        assert_holds(net.module, trained.state_dict())

    def test_takes_a_backbone_and_says_so(self):
        net = Detector()
        head = snapshot(net.head)
        report = load_weights(net, published(backbone()))
        assert "only a backbone was loaded" in str(report)
        assert "backbone.norm0.weight" in report.missing
        assert_holds(net.head, head)

    def test_other_classes_only_on_request(self, randomise):
        trained, net = randomise(Detector(classes=7)), Detector()
        head = snapshot(net.head.cls)
        refuse(
            net, trained.state_dict(), r"head.cls.weight \(7, 16, 1, 1\) for", "reinit_heads=True"
        )
        report = load_weights(net, trained.state_dict(), reinit_heads=True)
        assert report.reinitialised == ("head.cls.weight", "head.cls.bias")
        assert "other classes: head.cls.weight, head.cls.bias" in str(report)
        assert_holds(net.head.cls, head)
        assert torch.equal(net.neck.weight, trained.neck.weight)

    def test_another_neck_is_no_other_number_of_classes(self):
        state = Detector().state_dict() | {"neck.weight": torch.randn(20, 16, 1, 1)}
        refuse(Detector(), state, r"neck.weight \(20, 16, 1, 1\) for \(16", reinit_heads=True)

    def test_a_decoder_of_its_own_is_not_taken_for_that_of_fcmae(self, randomise):
        class Transformer(Detector):
            def __init__(self):
                super().__init__()
                self.decoder = torch.nn.Linear(4, 4)
                self.text = torch.nn.Linear(4, 4)

        trained, net = randomise(Transformer()), Transformer()
        load_weights(net, trained.state_dict())
        assert_holds(net, trained.state_dict())

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda state: state.pop("neck.weight"), r"1 missing \(neck.weight\)"),
            (lambda state: state.pop("backbone.norm0.bias"), r"1 missing \(backbone.norm0.bias\)"),
            (lambda state: state.update(x=torch.ones(1)), r"1 not in the model \(x\)"),
        ],
    )
    def test_refuses_what_does_not_fit(self, spoil, says):
        state = dict(Detector().state_dict())
        spoil(state)
        refuse(Detector(), state, says, reinit_heads=True)

    def test_a_model_without_convnext(self):
        with pytest.raises(ValueError, match="a Linear has 0 ConvNeXt backbones"):
            load_weights(torch.nn.Linear(1, 1), {})


class Touch:
    """Touches the disk when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


class ThroughGetattr(Touch):
    def __reduce__(self):
        return (getattr, (Path(self.path), "mkdir"))


class TestUntrusted:
    @pytest.mark.parametrize("kind", [Touch, ThroughGetattr])
    @pytest.mark.parametrize("legacy", [False, True])
    def test_hostile_files_run_nothing_unless_trusted(self, kind, legacy, saved, tmp_path):
        content = dict(model=published(backbone()), args=kind(tmp_path / "ran"))
        path = saved(content, _use_new_zipfile_serialization=not legacy)
        refuse(backbone(), path, "is refused: it names", "trust=True")
        assert not (tmp_path / "ran").exists()
        net = backbone()
        load_weights(net, path, trust=True)
        assert_holds(net, content["model"], except_for="norm")
        assert (tmp_path / "ran").exists() == (kind is Touch)

    def test_training_arguments_are_plain_data(self, saved):
        net = backbone()
        content = dict(model=published(net), args=argparse.Namespace(lr=0.1), scaler={}, epoch=3)
        load_weights(net, saved(content))
        assert_holds(net, content["model"], except_for="norm")

    def test_a_pickled_module_on_trust(self, saved):
        path = saved(torch.nn.Sequential(backbone()))
        refuse(backbone(), path, "is refused", "trust=True")
        assert load_weights(backbone(), path, trust=True).prefix == "0."
