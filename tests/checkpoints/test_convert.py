"""What is converted loads strictly in the library of its layout, and comes back unchanged."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.checkpoints.convert import TARGETS, convert

load_file = pytest.importorskip("safetensors.torch").load_file
DEPTHS, DIMS = (1, 2, 2, 1), (8, 16, 24, 32)
both = pytest.mark.parametrize("grn", [False, True], ids=["v1", "v2"])


def backbone(grn=False, **kwargs):
    return ConvNeXt(dict(depths=DEPTHS, channels=DIMS, grn=grn), **kwargs)


@pytest.fixture
def classifier(references, randomise):
    """A classifier of Meta's, and its features."""

    def build(grn=False):
        model = randomise(references.Meta(DEPTHS, DIMS, grn))
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            return model.state_dict(), image, model.stages_of(image)

    return build


def assert_equal(got, want):
    for ours, theirs in zip(got, want, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@both
class TestIntoTheLibraries:
    """A strict load is the proof that names and shapes are theirs, the features that values are."""

    @pytest.mark.slow
    def test_timm(self, grn, timm, classifier, tmp_path):
        from timm.models.convnext import ConvNeXt as TimmConvNeXt

        state, image, want = classifier(grn)
        out = tmp_path / "model.safetensors"
        convert(state, out, "timm")
        more = dict(use_grn=True, ls_init_value=None) if grn else {}
        net = TimmConvNeXt(depths=DEPTHS, dims=DIMS, num_classes=5, **more).eval()
        net.load_state_dict(load_file(out), strict=True)
        with torch.no_grad():
            assert_equal(net.forward_intermediates(image, intermediates_only=True), want)

    @pytest.mark.slow
    def test_timms_small_models_whose_mlps_are_convolutions(self, grn, timm, tmp_path):
        ours = ConvNeXt("v2_atto" if grn else "atto", norm_out=False)
        out = tmp_path / "atto.pth"
        convert(ours.state_dict(), out, "timm")
        net = timm.create_model("convnextv2_atto" if grn else "convnext_atto", num_classes=0)
        missing, unexpected = net.load_state_dict(torch.load(out), strict=False)
        assert (missing, unexpected) == (["head.norm.weight", "head.norm.bias"], [])

    @pytest.mark.slow
    def test_transformers(self, grn, transformers, classifier, tmp_path):
        state, image, want = classifier(grn)
        family = "ConvNextV2" if grn else "ConvNext"
        config = getattr(transformers, f"{family}Config")(
            hidden_sizes=list(DIMS), depths=list(DEPTHS), num_labels=5
        )
        convert(state, tmp_path / "model.safetensors", "transformers")
        config.save_pretrained(tmp_path)
        build = getattr(transformers, f"{family}ForImageClassification")
        net, info = build.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(info.values()), info
        with torch.no_grad():
            got = net.eval()(image, output_hidden_states=True).hidden_states
        assert_equal(got[1:], want)

    def test_mmpretrain(self, grn, references, classifier, tmp_path):
        state, image, want = classifier(grn)
        convert(dict(model=state), tmp_path / "model.pth", "mmpretrain")
        content = torch.load(tmp_path / "model.pth")
        net = references.MMPretrainClassifier(DEPTHS, DIMS, grn)
        net.load_state_dict(content["state_dict"], strict=True)
        with torch.no_grad():
            assert_equal(net.backbone.stages_of(image), want)

    def test_torchvision(self, grn, references, classifier, tmp_path):
        state, image, want = classifier(grn)
        out = tmp_path / "model.pth"
        if grn:
            with pytest.raises(
                ValueError, match=r"'torchvision' has no place for stages\.0\.0\.grn"
            ):
                convert(state, out, "torchvision")
            assert list(tmp_path.iterdir()) == []
            return
        convert(state, out, "torchvision")
        net = references.Torchvision(DEPTHS, DIMS)
        net.load_state_dict(torch.load(out), strict=True)
        with torch.no_grad():
            assert_equal(net.stages_of(image), want)

    def test_meta(self, grn, references, classifier, tmp_path):
        state, image, want = classifier(grn)
        convert(state, tmp_path / "a.pth", "mmpretrain")
        convert(tmp_path / "a.pth", tmp_path / "b.pth", "meta")
        net = references.Meta(DEPTHS, DIMS, grn)
        net.load_state_dict(torch.load(tmp_path / "b.pth")["model"], strict=True)
        with torch.no_grad():
            assert_equal(net.stages_of(image), want)

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("to", TARGETS)
    def test_there_and_back_changes_no_bit(self, grn, to, suffix, classifier, tmp_path):
        if grn and to == "torchvision":
            pytest.skip("torchvision has no V2")
        state, _, _ = classifier(grn)
        there, back = tmp_path / f"there{suffix}", tmp_path / f"back{suffix}"
        convert(state, there, to)
        convert(there, back)
        content = load_file(back) if suffix == ".safetensors" else torch.load(back)["model"]
        assert content.keys() == state.keys()
        assert all(torch.equal(content[name], state[name]) for name in state)


@both
def test_transformers_backbone_class_takes_the_output_norms(grn, transformers, randomise, tmp_path):
    ours = randomise(backbone(grn))
    family = "ConvNextV2" if grn else "ConvNext"
    config = getattr(transformers, f"{family}Config")(
        hidden_sizes=list(DIMS),
        depths=list(DEPTHS),
        num_stages=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    convert(ours.state_dict(), tmp_path / "model.safetensors", "transformers")
    config.save_pretrained(tmp_path)
    build = getattr(transformers, f"{family}Backbone")
    net, info = build.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_equal(net.eval()(image).feature_maps, ours(image))


class TestWholeModels:
    def state(self, references, randomise):
        net = randomise(references.MMPretrain(DEPTHS, DIMS, grn=True, output_norms=True))
        state = {f"backbone.{name}": value for name, value in net.state_dict().items()}
        return state | {"decode_head.conv_seg.weight": torch.randn(3, 4, 1, 1)}

    def test_keep_their_heads_and_classes(self, references, randomise, saved, tmp_path):
        state = self.state(references, randomise)
        path = saved(dict(state_dict=state, meta=dict(CLASSES=("a", "b", "c")), optimizer={}))
        convert(path, tmp_path / "meta.pth")
        content = torch.load(tmp_path / "meta.pth")
        assert content["meta"] == dict(CLASSES=("a", "b", "c"))
        assert content["state_dict"]["backbone.stages.0.0.grn.gamma"].shape == (1, 1, 1, 32)
        convert(tmp_path / "meta.pth", tmp_path / "back.pth", "mmpretrain")
        back = torch.load(tmp_path / "back.pth")["state_dict"]
        assert back.keys() == state.keys()
        assert all(torch.equal(back[name], state[name]) for name in state)

    def test_integers_in_a_head_count_or_are_refused(self, references, randomise, tmp_path):
        state = self.state(references, randomise)
        counted = state | {"decode_head.bn.num_batches_tracked": torch.tensor(7)}
        convert(counted, tmp_path / "counted.pth")
        for name in ("decode_head.conv_seg.weight", "decode_head.bn.running_var"):
            with pytest.raises(RuntimeError, match=rf"{name} .*int64"):
                convert(state | {name: torch.ones(3, dtype=torch.long)}, tmp_path / "a.pth")

    def test_go_to_a_classifiers_library_by_their_backbone_alone(
        self, references, randomise, tmp_path
    ):
        state = self.state(references, randomise)
        out = tmp_path / "timm.pth"
        with pytest.raises(
            ValueError, match=r"whole model.* meta or mmpretrain.*`prefix='backbone'`"
        ):
            convert(state, out, "timm")
        conversion = convert(state, out, "timm", prefix="backbone")
        assert "norm0.weight" in conversion.left_out
        assert "left out: norm0.weight" in str(conversion)
        load_weights(backbone(grn=True), out)


class TestWritesWholeOrNotAtAll:
    def test_never_overwrites_unless_asked(self, classifier, tmp_path):
        state, _, _ = classifier()
        out = tmp_path / "model.pth"
        out.write_text("mine")
        with pytest.raises(FileExistsError, match=r"exists: `overwrite=True` replaces it"):
            convert(state, out)
        assert out.read_text() == "mine"
        convert(state, out, overwrite=True)
        load_weights(backbone(), out)

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_a_failed_write_leaves_the_earlier_file(self, classifier, tmp_path, small_disk, suffix):
        state, _, _ = classifier()
        out = tmp_path / f"model{suffix}"
        out.write_text("earlier")
        message = rf"could not write .*/model{suffix}: File too large"
        with small_disk(2**10), pytest.raises(OSError, match=message):
            convert(state, out, overwrite=True)
        assert out.read_text() == "earlier"
        assert list(tmp_path.iterdir()) == [out]

    def test_holds_no_more_than_its_parameters(self, classifier, tmp_path):
        state, _, _ = classifier()
        storage = torch.zeros(10_000_000)
        state["stages.0.0.gamma"] = storage[:8]
        convert(state, tmp_path / "model.pth", "timm")
        assert (tmp_path / "model.pth").stat().st_size < 1_000_000

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda s: s.pop("stages.1.0.norm.bias"), "wrong shape: stages.1.0.norm.bias"),
            (lambda s: s.pop("downsample_layers.0.0.weight"), "wrong shape: the stem"),
            (lambda s: s.update({"stages.0.0.x": torch.ones(1)}), "wrong shape: stages.0.0.x"),
        ],
    )
    def test_refuses_what_is_not_whole(self, spoil, says, classifier, tmp_path):
        state, _, _ = classifier()
        spoil(state)
        with pytest.raises(RuntimeError, match=f"does not hold a whole ConvNeXt.*{says}"):
            convert(state, tmp_path / "model.pth")

    @pytest.mark.parametrize(
        ("out", "to", "says"),
        [("a.onnx", "meta", "a.onnx ends in neither of"), ("a.pth", "keras", "no layout 'keras'")],
    )
    def test_refuses_what_it_cannot_write(self, out, to, says, classifier, tmp_path):
        with pytest.raises(ValueError, match=says):
            convert(classifier()[0], tmp_path / out, to)

    def test_refuses_a_network_without_channels(self, classifier, tmp_path):
        state, _, _ = classifier()
        state["stages.0.0.dwconv.weight"] = torch.empty(0)
        with pytest.raises(RuntimeError, match=r"is damaged: arch's depths and channels"):
            convert(state, tmp_path / "model.pth")
