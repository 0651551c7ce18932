from __future__ import annotations

import pytest
from mmengine.config import Config

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.tied_parameters import count_tied_once

FACTORS = dict(norm_decay_mult=0.0)


def paramwise(model="TransformersDetector", **wrapper):
    cfg = Config(dict(model=dict(type=model), optim_wrapper=dict(paramwise_cfg=FACTORS, **wrapper)))
    return count_tied_once(Plan(RunOptions("one"), cfg)).config.optim_wrapper.paramwise_cfg


@pytest.mark.parametrize("model", ["TransformersDetector", "mmseg.TransformersSegmentor"])
def test_parameters_with_two_names_are_optimized_once(model):
    assert paramwise(model) == dict(FACTORS, bypass_duplicate=True)


def test_others_are_left_as_they_are():
    assert paramwise("MaskRCNN") == FACTORS
    assert paramwise(constructor="ConvNeXtOptimWrapperConstructor") == FACTORS
