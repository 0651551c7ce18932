"""Head dicts: what they may hold, what the backbone decides, and what is refused."""

from __future__ import annotations

import pytest
from mmdet.registry import MODELS

from convnext_dense.heads.transformers import configs

from .small import detector


def build(backbone=None, **head):
    return MODELS.build(
        dict(
            type="TransformersDetector",
            backbone=backbone or dict(type="ConvNeXt", arch="atto", out_indices=(1, 2, 3)),
            head=head,
        )
    )


REFUSED = {
    "a near name": (dict(type="rtdetr_v2"), r"has no head 'rtdetr_v2': it has rt_detr_v2, "),
    "a segmenter's": (dict(type="upernet"), r"upernet is one of TransformersSegmentor: it has "),
    "no type": (dict(num_queries=3), r"has no head None: it has "),
    "rf_detr": (dict(type="rf_detr"), r"'rf_detr' is refused: its backbone is fixed"),
    "dpt": (dict(type="dpt"), r"'dpt' is refused: its neck reassembles the tokens"),
    "oneformer": (dict(type="oneformer"), r"'oneformer' is refused: it needs a tokenised text"),
    "an unknown key": (
        dict(type="rt_detr_v2", num_querys=3),
        r"head.num_querys is unknown to .* RTDetrV2Config: did you mean num_queries\?",
    ),
    "a backbone": (
        dict(type="rt_detr_v2", backbone_config={}),
        r"head.backbone_config follows from other keys: set model.backbone",
    ),
    "no classes": (dict(type="rt_detr_v2", num_classes=0), r"whole number from 1, got 0"),
    "names of other classes": (
        dict(type="rt_detr_v2", num_classes=2, id2label={0: "cat"}),
        r"head.id2label has 1 names for num_classes=2",
    ),
    "other channels": (
        dict(type="rt_detr_v2", encoder_in_channels=[1, 2, 3]),
        r"head.encoder_in_channels=\[1, 2, 3\] is not the backbone's, which is \[80, 160, 320\]",
    ),
    "one layer": (dict(type="d_fine", decoder_layers=1), r"head.decoder_layers is at least 2"),
    "a text for a number": (
        dict(type="rt_detr_v2", num_queries="many"),
        r"RTDetrV2Config refuses: .*num_queries.* expected int, got str",
    ),
    "sizes that do not fit": (
        dict(type="deformable_detr", d_model=30),
        r"DeformableDetrConfig cannot be built: .*divisible",
    ),
}


@pytest.mark.parametrize("head, said", REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_in_one_line(head, said):
    with pytest.raises(ValueError, match=said) as refusal:
        build(**head)
    assert "\n" not in str(refusal.value)


def test_a_backbone_that_does_not_say_its_maps_is_refused():
    with pytest.raises(ValueError, match="ResNet does not say its out_channels and out_strides"):
        build(dict(type="ResNet", depth=18), type="rt_detr_v2")


@pytest.mark.slow
def test_transformers_that_is_absent_or_too_old_is_named_with_the_extra(monkeypatch):
    def absent(name):
        raise configs.PackageNotFoundError(name)

    monkeypatch.setattr(configs, "version", absent)
    with pytest.raises(ImportError, match=r"need transformers .* pip install 'convnext-dense\[hf"):
        detector("rt_detr_v2")
    monkeypatch.setattr(configs, "version", lambda name: "4.57.3")
    with pytest.raises(ImportError, match=r"or newer, found 4.57.3: pip install .*\[hf\]"):
        detector("rt_detr_v2")
    monkeypatch.setattr(configs, "version", lambda name: "6.0.0.dev0")
    detector("rt_detr_v2")


@pytest.mark.slow
@pytest.mark.parametrize("indices", [(0, 1, 2, 3), (1, 2, 3), (2, 3)])
@pytest.mark.parametrize("kind", ["rt_detr_v2", "rt_detr", "d_fine", "deformable_detr"])
def test_the_backbone_decides_channels_strides_and_levels(kind, indices):
    backbone = dict(type="ConvNeXt", arch="atto", out_indices=indices)
    model = build(backbone, type=kind, decoder_layers=2, encoder_layers=1)
    config = model.head.config
    assert config.backbone_config.channels == [(40, 80, 160, 320)[i] for i in indices]
    assert config.num_labels == 80
    if kind != "deformable_detr":
        assert config.feat_strides == [(4, 8, 16, 32)[i] for i in indices]
        assert config.num_feature_levels == len(indices)


def test_the_layers_of_the_backbone_decay():
    from mmengine.optim import build_optim_wrapper

    model = detector("rt_detr_v2")
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.05),
        constructor="ConvNeXtOptimWrapperConstructor",
        paramwise_cfg=dict(decay_rate=0.5, decay_type="layer_wise"),
    )
    groups = build_optim_wrapper(model, cfg).param_groups
    assert min(group["lr"] for group in groups) == 0.5**5
    assert max(group["lr"] for group in groups) == 1.0
    optimized = {id(p) for group in groups for p in group["params"]}
    assert all(id(p) in optimized for p in model.parameters() if p.requires_grad)
