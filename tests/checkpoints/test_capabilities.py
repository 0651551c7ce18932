"""The table in docs/weights.md, filled in by trying.

    WRITE_DOCS=1 python -m pytest tests/checkpoints/test_capabilities.py

writes it anew; without the variable the test compares.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.checkpoints.convert import TARGETS, convert
from convnext_dense.checkpoints.report import is_output_norm
from convnext_dense.checkpoints.verify import verify

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "weights.md"
BEGIN, END = "<!-- written by tests/checkpoints/test_capabilities.py -->", "<!-- end -->"
TITLES = (
    "source", "layout", "V1", "V2", ".pth", ".safetensors", "output norms", "heads", "`verify`",
    "`convert --to`",
)  # fmt: skip
DEPTHS, DIMS = (1, 2, 2, 1), (8, 16, 24, 32)


@dataclass
class Source:
    """A library's model: what it saves, and its own features of an image."""

    state: dict[str, Tensor]
    stages: list[Tensor]


class Whole(nn.Module):
    """What stands for a detector or segmenter."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.decode_head = nn.Conv2d(DIMS[-1], 3, 1)


@pytest.fixture
def sources(references, timm, transformers, randomise):
    """Builders ``(grn) -> Source`` by title; None where there is no such model."""
    from timm.models.convnext import ConvNeXt as TimmConvNeXt

    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def walk(model, stages=None, change=lambda state: state):
        model = randomise(model.eval())
        state = change(dict(model.state_dict()))
        stages = stages or (lambda one: one.stages_of)
        with torch.no_grad():
            return Source(state, list(stages(model)(image)))

    def timm_model(grn, **kwargs):
        more = dict(use_grn=True, ls_init_value=None) if grn else {}
        return TimmConvNeXt(depths=DEPTHS, dims=DIMS, num_classes=5, **more, **kwargs)

    def intermediates(model):
        return lambda image: model.forward_intermediates(image, intermediates_only=True)

    def hidden(model):
        return lambda image: model(image, output_hidden_states=True).hidden_states[-4:]

    def hugging_face(grn, part):
        family = "ConvNextV2" if grn else "ConvNext"
        config = getattr(transformers, f"{family}Config")(
            hidden_sizes=list(DIMS),
            depths=list(DEPTHS),
            num_stages=4,
            num_labels=5,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        return getattr(transformers, family + part)(config)

    def without(*prefixes):
        return lambda s: {n: v for n, v in s.items() if not n.startswith(prefixes)}

    def clip(state):
        return {f"visual.trunk.{name}": value for name, value in without("head.fc")(state).items()}

    def dinov3(state):
        norms = {
            f"norms.3.{name[5:]}": value.clone()
            for name, value in state.items()
            if name.startswith("norm.")
        }
        return without("head.")(state) | norms

    def whole_stages(model):
        return model.backbone.stages_of

    dino_config = transformers.DINOv3ConvNextConfig(hidden_sizes=list(DIMS), depths=list(DEPTHS))
    return {
        "Meta, classifier": lambda grn: walk(references.Meta(DEPTHS, DIMS, grn)),
        "Meta, FCMAE as released": lambda grn: (
            grn and walk(references.Meta(DEPTHS, DIMS, grn), change=without("norm.", "head."))
        ),
        "Meta, FCMAE as one trains it (sparse)": lambda grn: (
            grn and walk(references.Fcmae(DEPTHS, DIMS), lambda model: model.encoder.stages_of)
        ),
        "Meta, fine-tuned on COCO or ADE20K": lambda grn: walk(
            Whole(references.Meta(DEPTHS, DIMS, grn, output_norms=True)), whole_stages
        ),
        "Meta, isotropic": lambda grn: not grn and walk(references.MetaIsotropic(2, 8)),
        "DINOv3, its own files": lambda grn: (
            not grn and walk(references.Meta(DEPTHS, DIMS), change=dinov3)
        ),
        "timm, classifier": lambda grn: walk(timm_model(grn), intermediates),
        "timm, MLPs as 1x1 convolutions": lambda grn: walk(
            timm_model(grn, conv_mlp=True), intermediates
        ),
        "timm, `features_only`": lambda grn: walk(
            timm.create_model(f"convnext{'v2' * grn}_atto", features_only=True), lambda m: m
        ),
        "timm, CLIP's image tower in open_clip": lambda grn: (
            not grn and walk(timm_model(grn), intermediates, clip)
        ),
        "torchvision": lambda grn: not grn and walk(references.Torchvision(DEPTHS, DIMS)),
        "transformers, `ForImageClassification`": lambda grn: walk(
            hugging_face(grn, "ForImageClassification"), hidden
        ),
        "transformers, `Backbone`": lambda grn: walk(hugging_face(grn, "Backbone"), hidden),
        "transformers, `DINOv3ConvNextModel`": lambda grn: (
            not grn and walk(transformers.DINOv3ConvNextModel(dino_config), hidden)
        ),
        "mmpretrain, classifier": lambda grn: walk(
            references.MMPretrainClassifier(DEPTHS, DIMS, grn), whole_stages
        ),
        "mmdet or mmseg, mmpretrain's backbone": lambda grn: walk(
            Whole(references.MMPretrain(DEPTHS, DIMS, grn, output_norms=True)), whole_stages
        ),
        "mmdet or mmseg, this package's backbone": lambda grn: walk(
            Whole(ConvNeXt(dict(depths=DEPTHS, channels=DIMS, grn=grn))),
            lambda model: lambda image: raw_stages(model.backbone, image),
        ),
    }, image


def raw_stages(backbone, image):
    for stage in range(4):
        setattr(backbone, f"norm{stage}", nn.Identity())
    return backbone(image)


def backbone_of(source, **kwargs):
    # timm's `features_only` models come in its own sizes.
    channels = tuple(stage.shape[1] for stage in source.stages)
    if len(channels) == 1:
        arch = dict(depths=(2,), channels=channels, isotropic=True)
        return ConvNeXt(arch, out_indices=(0,), **kwargs)
    depths = DEPTHS if channels == DIMS else (2, 2, 6, 2)
    grn = any(".grn." in name for name in source.state)
    return ConvNeXt(dict(depths=depths, channels=channels, grn=grn), **kwargs)


def is_equal(source, path, image):
    net = backbone_of(source, norm_out=False).eval()
    whole = any("decode_head" in name for name in source.state)
    load_weights(net, path, prefix="backbone" if whole else None)
    with torch.no_grad():
        errors = [
            (ours - theirs).abs().max() / theirs.abs().max()
            for ours, theirs in zip(net(image), source.stages, strict=True)
        ]
    assert max(errors) <= 1e-5, errors
    return True


def row(title, build, image, folder):
    """Try everything, and say what works."""
    save_file = pytest.importorskip("safetensors.torch").save_file
    versions = {grn: build(grn) or None for grn in (False, True)}
    pth, tensors = folder / "a.pth", folder / "a.safetensors"
    cells, targets = {}, []
    for source in filter(None, versions.values()):
        torch.save(source.state, pth)
        save_file({name: value.contiguous() for name, value in source.state.items()}, tensors)
        assert is_equal(source, pth, image) and is_equal(source, tensors, image), title
        whole = any("decode_head" in name for name in source.state)
        net = backbone_of(source)
        report = load_weights(Whole(net) if whole else net, pth)
        norms = [name for name in report.loaded if is_output_norm(name)]
        assert len(norms) in (0, 8)
        cells["layout"] = report.layout
        cells["norms"] = "loaded" if norms else "left at 1 and 0"
        heads = [name for name in report.loaded if name.startswith("decode_head")]
        dropped = any(why == "classifier" for why in report.dropped.values())
        cells["heads"] = "loaded" if heads else "dropped" if dropped else "none"
        assert max(check.error for check in verify(pth)) <= 1e-5, title
        targets.append(writable(pth, folder))
    versions = ["yes" if versions[grn] else "-" for grn in (False, True)]
    targets = ", ".join(
        to if all(to in each for each in targets) else f"{to} (V1)"
        for to in TARGETS
        if any(to in each for each in targets)
    )
    return [
        title, cells["layout"], *versions, "yes", "yes", cells["norms"], cells["heads"], "yes",
        targets,
    ]  # fmt: skip


def writable(path, folder):
    """The layouts that the source converts to."""
    found = []
    for to in TARGETS:
        try:
            convert(path, folder / "out.pth", to, overwrite=True)
        except ValueError:
            continue
        found.append(to)
    return found


def test_the_table_says_what_works(sources, tmp_path):
    builders, image = sources
    rows = [row(title, build, image, tmp_path) for title, build in builders.items()]
    lines = [f"| {' | '.join(cells)} |" for cells in (TITLES, *rows)]
    lines.insert(1, "|---" * len(TITLES) + "|")
    table = "\n".join([BEGIN, *lines, END])
    page = PAGE.read_text()
    start, end = page.index(BEGIN), page.index(END) + len(END)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page[:start] + table + page[end:])
    assert PAGE.read_text()[start : start + len(table)] == table, (
        "run: WRITE_DOCS=1 python -m pytest tests/checkpoints/test_capabilities.py"
    )
