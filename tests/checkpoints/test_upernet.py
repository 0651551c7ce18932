"""transformers' UperNet over ConvNeXt in mmseg's: the same logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import revert_sync_batchnorm

from convnext_dense import load_weights
from convnext_dense.checkpoints.whole_model import parameters_for_model

from ..configs import load

pytestmark = pytest.mark.slow

CHANNELS, DEPTHS = [8, 16, 24, 32], [1, 1, 2, 1]


@pytest.fixture
def theirs(transformers, randomise):
    backbone = transformers.ConvNextConfig(
        hidden_sizes=CHANNELS, depths=DEPTHS, out_features=[f"stage{i}" for i in range(1, 5)]
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_in_channels=24, auxiliary_channels=8,
        num_labels=5,
    )  # fmt: skip
    model = randomise(transformers.UperNetForSemanticSegmentation(config)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)
    return model


def build(num_classes=5):
    from mmengine.registry import MODELS, init_default_scope

    cfg = load("seg/upernet_convnext_t_ade20k.py")
    cfg.model.backbone.update(arch=dict(depths=DEPTHS, channels=CHANNELS), init_cfg=None)
    cfg.model.decode_head.update(in_channels=CHANNELS, channels=16, num_classes=num_classes)
    cfg.model.auxiliary_head.update(in_channels=24, channels=8, num_classes=num_classes)
    init_default_scope(cfg.default_scope)
    return revert_sync_batchnorm(MODELS.build(cfg.model)).eval()


def assert_equal_logits(ours, theirs):
    image = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = theirs(image).logits
        features = ours.extract_feat(image)
        logits = F.interpolate(ours.decode_head(features), image.shape[2:], mode="bilinear")
        theirs_aux = theirs.auxiliary_head(theirs.backbone(image).feature_maps)
        assert torch.allclose(ours.auxiliary_head(features), theirs_aux, atol=1e-4)
    assert wanted.abs().mean() > 0.01
    assert (logits - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("how", ["load_weights", "test"])
def test_the_logits_are_equal(theirs, tmp_path, how):
    theirs.save_pretrained(tmp_path)
    ours = build()
    if how == "load_weights":
        report = load_weights(ours, tmp_path)
        assert len(report.loaded) == len(ours.state_dict())
    else:
        ours.load_state_dict(parameters_for_model(ours, theirs.state_dict(), "a.safetensors"))
    assert_equal_logits(ours, theirs)


def test_another_number_of_classes_is_refused_or_left_random(theirs):
    ours = build(num_classes=3)
    state = theirs.state_dict()
    with pytest.raises(
        RuntimeError, match=r"decode_head\.conv_seg\.weight \(5, .*reinit_heads=True"
    ):
        load_weights(ours, state)
    report = load_weights(ours, state, reinit_heads=True)
    assert len(report.reinitialised) == 4
