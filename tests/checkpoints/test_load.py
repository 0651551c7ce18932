"""Meta's files into the backbone, and what is refused."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel, BaseModule, PretrainedInit

from convnext_dense import ConvNeXt, load_weights

from .helpers import ARCH, BOTH_STAGES, assert_holds, backbone, published, refuse, snapshot


class TestMetaLayout:
    @pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])
    @pytest.mark.parametrize("wrap", ["model", "state_dict", None])
    def test_loads(self, grn, wrap, saved):
        net = backbone(arch=ARCH | dict(grn=grn))
        state = published(net)
        content = {wrap: state, "epoch": 300} if wrap else state
        report = load_weights(net, saved(content))
        assert_holds(net, state, except_for="norm")
        assert set(report.loaded) == {name for name in net.state_dict() if name[:4] != "norm"}
        assert set(report.dropped) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
        assert set(report.missing) == {f"norm{i}.{p}" for i in (0, 1) for p in ("weight", "bias")}
        for i in BOTH_STAGES:
            assert torch.equal(getattr(net, f"norm{i}").weight, torch.ones(net.out_channels[i]))
            assert torch.equal(getattr(net, f"norm{i}").bias, torch.zeros(net.out_channels[i]))

    def test_takes_a_path_object_and_a_state_dict(self, saved, tmp_path):
        net = backbone()
        state = published(net)
        saved(state)
        assert load_weights(net, tmp_path / "convnext.pth").source == str(tmp_path / "convnext.pth")
        assert_holds(net, state, except_for="norm")
        other = published(net)
        assert load_weights(net, {"model": other}).source == "state dict"
        assert_holds(net, other, except_for="norm")

    def test_report_says_what_became_of_the_file(self, saved):
        net = backbone()
        path = saved(published(net), "convnext_tiny_1k_224.pth")
        report = load_weights(net, path)
        assert report.checksum == sha256(Path(path).read_bytes()).hexdigest()
        rows = dict(line.split(maxsplit=1) for line in str(report).splitlines())
        assert rows == dict(
            weights=path,
            sha256=report.checksum,
            layout="meta",
            architecture=f"{ARCH | dict(grn=False)} (closest to 'atto')",
            loaded=f"{len(net.state_dict()) - 4} parameters, 0 of them converted",
            dropped="classifier: norm.weight, norm.bias, head.weight, head.bias",
            missing="left at 1 and 0: norm0, norm1",
            licence="MIT (facebookresearch/ConvNeXt)",
            images="RGB, mean 123.675, 116.28, 103.53, std 58.395, 57.12, 57.375",
        )

    def test_report_tells_whether_grn_was_trained(self):
        net = backbone(arch=ARCH | dict(grn=True))
        assert "(0 would be untrained)" in str(load_weights(net, published(net)))

    def test_output_norms_load_where_the_file_has_them(self):
        net = backbone()
        state = published(net, with_norms=True)
        assert load_weights(net, state).missing == ()
        assert_holds(net, state)

    def test_stages_and_norms_that_are_not_built_are_dropped(self):
        whole = published(backbone(), with_norms=True)
        part = backbone(out_indices=(0,), norm_out=False)
        report = load_weights(part, whole)
        assert_holds(part, whole)
        assert report.missing == ()
        assert {"stages.1.0.gamma", "downsample_layers.1.0.bias", "norm0.bias"} <= set(
            report.dropped
        )

    def test_half_precision_files_load_into_float32(self):
        net = backbone()
        state = {name: value.half() for name, value in published(net, with_norms=True).items()}
        load_weights(net, state)
        assert net.stages[0][0].gamma.dtype == torch.float32
        assert torch.equal(net.stages[0][0].gamma, state["stages.0.0.gamma"].float())

    @pytest.mark.parametrize("prefix", ["backbone", "backbone."])
    def test_prefix(self, prefix, saved):
        net = backbone()
        state = published(net, with_norms=True)
        detector = {f"backbone.{name}": value for name, value in state.items()}
        detector["rpn_head.rpn_conv.weight"] = torch.randn(4, 4, 3, 3)
        load_weights(net, saved({"state_dict": detector, "meta": {}}), prefix=prefix)
        assert_holds(net, state)


class TestRefuses:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "file_arch, net_arch", [("femto", "atto"), ("v2_atto", "atto"), ("atto", "v2_atto")]
    )
    def test_another_arch_by_name(self, file_arch, net_arch, saved):
        path = saved(published(ConvNeXt(file_arch)))
        fragments = (path, f"holds arch '{file_arch}'", f"the backbone, which is arch '{net_arch}'")
        refuse(ConvNeXt(net_arch), path, *fragments)

    def test_another_arch_where_only_a_part_is_built(self):
        # The file is named by all that it holds, not by the part that would be used.
        refuse(
            ConvNeXt("tiny", out_indices=(0,)),
            published(ConvNeXt("v2_atto")),
            "holds arch 'v2_atto'",
            "arch 'tiny'",
        )

    def test_an_arch_without_a_name(self):
        wider = dict(depths=(1, 2), channels=(8, 24))
        refuse(
            backbone(),
            published(backbone(arch=wider)),
            r"holds arch \{'depths': \(1, 2\), 'channels': \(8, 24\), 'grn': False\}",
            r"downsample_layers.1.1.weight \(24, 8, 2, 2\) for \(16, 8, 2, 2\)",
        )

    def test_missing_and_left_over_names(self):
        state = published(backbone())
        state["stages.0.0.gama"] = state.pop("stages.0.0.gamma")
        refuse(
            backbone(),
            state,
            r"1 missing \(stages.0.0.gamma\)",
            r"1 not in the model \(stages.0.0.gama\)",
        )

    def test_layer_scale_that_the_network_has_not(self):
        net = backbone(layer_scale_init_value=0)
        refuse(net, published(backbone()), r"3 not in the model \(stages.0.0.gamma, ")

    @pytest.mark.parametrize("prefix", ["backbone.", "module."])
    def test_a_whole_model_with_the_prefix_to_use(self, prefix, saved):
        detector = {f"{prefix}{name}": value for name, value in published(backbone()).items()}
        detector["rpn_head.rpn_conv.weight"] = torch.randn(4, 4, 3, 3)
        path = saved({"state_dict": detector})
        refuse(backbone(), path, f"a whole model, whose backbone loads with `prefix='{prefix}'`")

    def test_a_prefix_that_nothing_has(self, saved):
        path = saved(published(backbone()))
        fragments = (
            "no name that begins with the prefix 'backbone.'",
            "with 'downsample_layers', ",
        )
        refuse(backbone(), path, path, *fragments, prefix="backbone")

    def test_another_network(self):
        refuse(
            backbone(),
            {"conv1.weight": torch.randn(4, 3, 7, 7)},
            r"holds no ConvNeXt in a layout known here \(meta, .*conv1.weight",
        )

    @pytest.mark.parametrize(
        "content, held",
        [
            ({"epoch": 3, "optimizer": {}}, "'epoch', 'optimizer'"),
            ({}, "nothing"),
            ({"model": {}}, "nothing"),
            ([1, 2], "list"),
            (torch.zeros(3), "Tensor"),
        ],
        ids=str,
    )
    def test_a_file_without_parameters(self, content, held, saved):
        path = saved(content)
        refuse(backbone(), path, f"{path} holds no parameters", f"but {held}$")

    def test_a_missing_file(self, tmp_path):
        path = str(tmp_path / "absent.pth")
        refuse(backbone(), path, path, "`weights=PATH`", "`weights=None`", error=FileNotFoundError)

    def test_a_truncated_file(self, saved, tmp_path):
        whole = Path(saved(published(backbone())))
        part = tmp_path / "part.pth"
        part.write_bytes(whole.read_bytes()[:5000])
        refuse(backbone(), part, str(part), "truncated", "`weights=PATH`", "`weights=None`")


class TestInitCfg:
    """The way of a config: ``init_cfg`` on the backbone, ``init_weights`` on the model."""

    @pytest.fixture
    def checkpoint(self, saved):
        self.state = published(backbone())
        return saved({"model": self.state})

    @pytest.mark.parametrize("kind", ["Pretrained", PretrainedInit], ids=["name", "class"])
    @pytest.mark.parametrize("as_list", [False, True])
    def test_loads(self, kind, as_list, checkpoint):
        init_cfg = dict(type=kind, checkpoint=checkpoint)
        net = backbone(init_cfg=[init_cfg] if as_list else init_cfg)
        net.init_weights()
        assert_holds(net, self.state, except_for="norm")

    def test_with_a_prefix(self, saved):
        state = published(backbone(), with_norms=True)
        path = saved({f"backbone.{name}": value for name, value in state.items()})
        net = backbone(init_cfg=dict(type="Pretrained", checkpoint=path, prefix="backbone."))
        net.init_weights()
        assert_holds(net, state)

    def test_inside_a_model_that_initialises_itself(self, checkpoint):
        class Head(BaseModule):
            def __init__(self):
                super().__init__(init_cfg=dict(type="Constant", layer="Conv2d", val=7.0))
                self.conv = torch.nn.Conv2d(16, 1, 1)

        class Detector(BaseModel):
            def __init__(self):
                # Would overwrite the backbone's convolutions if it came after them.
                super().__init__(init_cfg=dict(type="Constant", layer="Conv2d", val=3.0))
                self.backbone = backbone(
                    init_cfg=dict(type="Pretrained", checkpoint=checkpoint), frozen_stages=1
                )
                self.head = Head()

            def forward(self, inputs, data_samples=None, mode="tensor"):
                return self.head(self.backbone(inputs)[-1])

        detector = Detector()
        detector.init_weights()
        assert_holds(detector.backbone, self.state, except_for="norm")
        assert (detector.head.conv.weight == 7.0).all()
        assert not detector.backbone.stages[0][0].gamma.requires_grad

        # A second call, of the runner's or the user's, undoes no training.
        with torch.no_grad():
            detector.backbone.stages[0][0].gamma.fill_(9.0)
        detector.init_weights()
        detector.backbone.init_weights()
        assert (detector.backbone.stages[0][0].gamma == 9.0).all()

    def test_a_mismatch_stops_the_run(self, checkpoint):
        # mmengine's own loader would warn and go on.
        net = backbone(
            arch=ARCH | dict(grn=True), init_cfg=dict(type="Pretrained", checkpoint=checkpoint)
        )
        with pytest.raises(RuntimeError, match="does not fit the backbone"):
            net.init_weights()

    def test_passes_its_options_on(self, saved):
        state = published(backbone(in_channels=4))
        path = saved({"model": state})
        init_cfg = dict(type="Pretrained", checkpoint=path, adapt_input=True)
        net = backbone(in_channels=1, init_cfg=init_cfg)
        net.init_weights()
        stem = "downsample_layers.0.0.weight"
        summed = state[stem].sum(1, keepdim=True)
        assert torch.allclose(net.state_dict()[stem], summed, atol=1e-6)

    def test_refuses_an_option_that_there_is_not(self, checkpoint):
        init_cfg = dict(type="Pretrained", checkpoint=checkpoint, strict=False)
        with pytest.raises(ValueError, match=r"no option strict.*takes prefix, ema, final_norm"):
            backbone(init_cfg=init_cfg).init_weights()

    def test_refuses_a_second_initialisation_beside_the_weights(self, checkpoint):
        init_cfg = [dict(type="Xavier", layer="Linear"), dict(type="Pretrained", checkpoint="x")]
        with pytest.raises(ValueError, match=r"pretrained weights alone.*Xavier"):
            backbone(init_cfg=init_cfg).init_weights()

    def test_other_initialisations_are_mmengines(self):
        net = backbone(init_cfg=dict(type="Constant", layer="Linear", val=0.5))
        net.init_weights()
        assert (net.stages[0][0].pwconv1.weight == 0.5).all()

    def test_without_init_cfg_nothing_changes(self):
        net = backbone()
        before = snapshot(net)
        net.init_weights()
        assert_holds(net, before)
