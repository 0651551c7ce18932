"""Features equal to the source's, to 1e-5 of their size, for every layout."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights

DEPTHS, DIMS = (1, 2, 2, 1), (8, 16, 24, 32)
IMAGE = (2, 3, 64, 96)
both = pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])


def backbone(grn=False, **kwargs):
    arch = dict(depths=DEPTHS, channels=DIMS, grn=grn)
    return ConvNeXt(**(dict(arch=arch, norm_out=False) | kwargs))


@pytest.fixture
def image():
    return torch.randn(IMAGE)


class TestMeta:
    @pytest.mark.slow
    @both
    def test_classifier_with_its_average(
        self, grn, references, randomise, saved, image, assert_parity
    ):
        model, averaged = (randomise(references.Meta(DEPTHS, DIMS, grn)) for _ in range(2))
        path = saved(
            dict(model=model.state_dict(), model_ema=averaged.state_dict(), epoch=299),
            "checkpoint-299.pth",
        )
        net = backbone(grn)
        report = load_weights(net, path)
        assert (report.layout, report.key, report.left) == ("meta", "model", ("model_ema",))
        assert set(report.dropped) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
        assert_parity(net, model.stages_of(image), image)
        report = load_weights(net, path, ema=True)
        assert (report.key, report.left) == ("model_ema", ("model",))
        assert_parity(net, averaged.stages_of(image), image)

    def test_fcmae_as_released(self, references, randomise, saved, image, assert_parity):
        model = randomise(references.Meta(DEPTHS, DIMS, grn=True))
        del model.norm, model.head
        net = backbone(grn=True)
        report = load_weights(net, saved(dict(model=model.state_dict()), "v2_fcmae.pt"))
        assert not report.dropped
        assert_parity(net, model.stages_of(image), image)

    def test_fcmae_as_one_trains_it(self, references, randomise, saved, image, assert_parity):
        model = randomise(references.Fcmae(DEPTHS, DIMS))
        net = backbone(grn=True)
        report = load_weights(net, saved(dict(model=model.state_dict(), epoch=7)))
        assert (report.layout, report.prefix) == ("fcmae", "encoder.")
        assert set(report.dropped.values()) == {"decoder of FCMAE"}
        assert_parity(net, model.encoder.stages_of(image), image)

    def test_dinov3s_own_files(self, references, randomise, saved, image, assert_parity):
        model = randomise(references.Meta(DEPTHS, DIMS))
        del model.head
        state = model.state_dict()
        state["norms.3.weight"], state["norms.3.bias"] = state["norm.weight"], state["norm.bias"]
        net = backbone()
        report = load_weights(net, saved(state, "dinov3_convnext_tiny_pretrain.pth"))
        assert report.licence == "DINOv3 License"
        assert_parity(net, model.stages_of(image), image)


class TestTimm:
    @pytest.fixture
    def model(self, timm, randomise):
        from timm.models.convnext import ConvNeXt as TimmConvNeXt

        def build(grn=False, **kwargs):
            args = dict(depths=DEPTHS, dims=DIMS, num_classes=5)
            args |= dict(use_grn=True, ls_init_value=None) if grn else {}
            return randomise(TimmConvNeXt(**(args | kwargs)).eval())

        return build

    @both
    @pytest.mark.parametrize("conv_mlp", [False, True], ids=["linear", "conv_mlp"])
    @pytest.mark.parametrize("kind", ["pth", "safetensors"])
    def test_classifier(self, grn, conv_mlp, kind, model, image, tmp_path, assert_parity):
        net, theirs = backbone(grn), model(grn, conv_mlp=conv_mlp)
        path = tmp_path / f"model.{kind}"
        if kind == "pth":
            torch.save(dict(state_dict=theirs.state_dict(), epoch=1), path)
        else:
            save_file = pytest.importorskip("safetensors.torch").save_file
            save_file(theirs.state_dict(), path)
        report = load_weights(net, path)
        assert report.layout == "timm"
        with torch.no_grad():
            assert_parity(net, theirs.forward_intermediates(image, intermediates_only=True), image)

    @pytest.mark.slow
    @pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
    def test_as_timm_saves_for_the_hub(self, file, timm, image, tmp_path, randomise, assert_parity):
        from timm.models import save_for_hf

        theirs = randomise(timm.create_model("convnextv2_atto").eval())
        save_for_hf(theirs, tmp_path, safe_serialization="both")
        net = ConvNeXt("v2_atto", norm_out=False)
        load_weights(net, tmp_path / file)
        with torch.no_grad():
            assert_parity(net, theirs.forward_intermediates(image, intermediates_only=True), image)

    @pytest.mark.slow
    def test_average_of_a_training_run(self, model, image, saved, assert_parity):
        plain, averaged = model(), model()
        content = dict(state_dict=plain.state_dict(), state_dict_ema=averaged.state_dict())
        net = backbone()
        assert load_weights(net, saved(content), ema=True).key == "state_dict_ema"
        with torch.no_grad():
            want = averaged.forward_intermediates(image, intermediates_only=True)
        assert_parity(net, want, image)

    @pytest.mark.slow
    @both
    def test_features_only(self, grn, timm, image, saved, randomise, assert_parity):
        name = "convnextv2_atto" if grn else "convnext_atto"
        theirs = randomise(timm.create_model(name, features_only=True).eval())
        net = ConvNeXt("v2_atto" if grn else "atto", norm_out=False)
        report = load_weights(net, saved(theirs.state_dict()))
        assert report.layout == "timm features_only"
        with torch.no_grad():
            assert_parity(net, theirs(image), image)
        # As segmentation_models_pytorch wraps it.
        state = {f"encoder.model.{name}": value for name, value in theirs.state_dict().items()}
        assert load_weights(net, state).prefix == "encoder.model."

    def test_clip(self, model, image, saved, assert_parity):
        theirs = model(num_classes=0, head_hidden_size=None)
        state = {f"visual.trunk.{name}": value for name, value in theirs.state_dict().items()}
        text = ("positional_embedding", "text_projection", "logit_scale", "ln_final.weight")
        text += ("transformer.resblocks.0.ln_1.weight", "token_embedding.weight")
        state |= {name: torch.ones(2) for name in (*text, "visual.head.proj.weight")}
        net = backbone()
        report = load_weights(net, saved(state, "open_clip_pytorch_model.bin"))
        assert report.prefix == "visual.trunk."
        assert report.mean == pytest.approx([255 * x for x in (0.48145466, 0.4578275, 0.40821073)])
        assert set(report.dropped.values()) >= {"text tower of CLIP", "projection of CLIP"}
        with torch.no_grad():
            assert_parity(net, theirs.forward_intermediates(image, intermediates_only=True), image)

    def test_head_norm_first_and_hidden_head(self, model, image, assert_parity):
        for kwargs in (dict(head_norm_first=True), dict(head_hidden_size=7)):
            theirs, net = model(**kwargs), backbone()
            load_weights(net, theirs.state_dict())
            with torch.no_grad():
                want = [theirs.stem(image)]
                for stage in theirs.stages:
                    want.append(stage(want[-1]))
            assert_parity(net, want[1:], image)

    @pytest.mark.parametrize(
        ("kwargs", "says"),
        [
            (dict(stem_type="overlap_tiered"), "overlapping stem"),
            (dict(stem_type="overlap_act"), "overlapping stem"),
            (dict(norm_layer="rmsnorm2d", conv_mlp=True), "norms have no bias"),
        ],
    )
    def test_another_network_is_refused(self, kwargs, says, model):
        with pytest.raises(RuntimeError, match=says):
            load_weights(backbone(), model(**kwargs).state_dict())

    def test_another_eps_is_refused_and_loads_on_request(self, timm, randomise):
        theirs = timm.create_model("test_convnext", num_classes=0)
        arch = dict(depths=(1, 2, 4, 2), channels=(24, 32, 48, 64))
        with pytest.raises(RuntimeError, match="adds 1e-5 in its layer norms"):
            load_weights(ConvNeXt(arch), theirs.state_dict())
        report = load_weights(ConvNeXt(arch), theirs.state_dict(), strict=False)
        assert "1e-5" in str(report)


class TestTransformers:
    @pytest.fixture
    def save(self, tmp_path):
        def write(model):
            model.save_pretrained(tmp_path)
            return str(tmp_path / "model.safetensors")

        return write

    @staticmethod
    def stages(model, image, first):
        with torch.no_grad():
            states = model(image, output_hidden_states=True).hidden_states
        return states[first:]

    def config(self, transformers, grn, **kwargs):
        kind = transformers.ConvNextV2Config if grn else transformers.ConvNextConfig
        names = [f"stage{i}" for i in (1, 2, 3, 4)]
        return kind(
            hidden_sizes=list(DIMS), depths=list(DEPTHS), num_stages=4, num_labels=5,
            out_features=names, **kwargs,
        )  # fmt: skip

    @both
    @pytest.mark.parametrize("part", ["ForImageClassification", "Model"])
    def test_classifier(self, grn, part, transformers, randomise, save, image, assert_parity):
        family = "ConvNextV2" if grn else "ConvNext"
        build = getattr(transformers, family + part)
        theirs = randomise(build(self.config(transformers, grn)).eval())
        path = save(theirs)
        prefix = {"Model": ""}.get(part, f"{family.lower()}.")
        net = backbone(grn)
        report = load_weights(net, path)
        assert (report.layout, report.prefix) == ("transformers", prefix)
        assert_parity(net, self.stages(theirs, image, first=1), image)

    @both
    def test_backbone_with_its_output_norms(
        self, grn, transformers, randomise, save, image, assert_parity
    ):
        build = transformers.ConvNextV2Backbone if grn else transformers.ConvNextBackbone
        theirs = randomise(build(self.config(transformers, grn)).eval())
        net = backbone(grn, norm_out=True)
        report = load_weights(net, save(theirs))
        assert report.missing == ()
        with torch.no_grad():
            assert_parity(net, theirs(image).feature_maps, image)

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_dinov3(self, in_memory, transformers, randomise, save, image, assert_parity):
        config = transformers.DINOv3ConvNextConfig(hidden_sizes=list(DIMS), depths=list(DEPTHS))
        theirs = randomise(transformers.DINOv3ConvNextModel(config).eval())
        net = backbone()
        report = load_weights(net, theirs.state_dict() if in_memory else save(theirs))
        assert (report.layout, report.prefix) == (
            "transformers DINOv3", "model." if in_memory else "",
        )  # fmt: skip
        assert set(report.dropped) == {"layer_norm.weight", "layer_norm.bias"}
        assert_parity(net, self.stages(theirs, image, first=1), image)


class TestTorchvision:
    def test_classifier(self, references, randomise, saved, image, assert_parity):
        theirs = randomise(references.Torchvision(DEPTHS, DIMS))
        net = backbone()
        report = load_weights(net, saved(theirs.state_dict(), "convnext_tiny-983f1562.pth"))
        assert report.layout == "torchvision"
        assert report.licence == "BSD-3-Clause (torchvision)"
        assert_parity(net, theirs.stages_of(image), image)


class TestMMPretrain:
    @pytest.mark.slow
    @both
    @pytest.mark.parametrize("linear", [True, False], ids=["linear", "conv"])
    def test_classifier(self, grn, linear, references, randomise, saved, image, assert_parity):
        theirs = randomise(references.MMPretrainClassifier(DEPTHS, DIMS, grn, linear))
        path = saved(dict(state_dict=theirs.state_dict(), meta={}))
        net = backbone(grn)
        report = load_weights(net, path)
        assert (report.layout, report.prefix) == ("mmpretrain", "backbone.")
        want = theirs.backbone.stages_of(image)
        assert_parity(net, want, image)
        load_weights(backbone(grn), path, prefix="backbone")

        # Its last norm is the classifier's, and serves the features only on request.
        normed = backbone(grn, norm_out=True)
        assert "norm3.weight" in load_weights(normed, path).missing
        assert torch.equal(normed.norm3.weight, torch.ones(DIMS[-1]))
        assert "norm3.weight" in load_weights(normed, path, final_norm="use").loaded
        assert torch.equal(normed.norm3.weight, theirs.backbone.norm3.weight)

    @both
    def test_dense_backbone(self, grn, references, randomise, image, assert_parity):
        theirs = randomise(references.MMPretrain(DEPTHS, DIMS, grn, output_norms=True))
        net = backbone(grn, norm_out=True)
        assert load_weights(net, theirs.state_dict()).missing == ()
        assert_parity(net, theirs(image), image)


def test_our_own_files(randomise, saved, image, assert_parity):
    theirs = randomise(backbone(grn=True, norm_out=True))
    net = backbone(grn=True, norm_out=True)
    report = load_weights(net, saved(dict(state_dict=theirs.state_dict(), meta={})))
    assert (report.missing, report.dropped) == ((), {})
    with torch.no_grad():
        assert_parity(net, theirs(image), image)
