"""A trial says what a config does, and where it fails."""

from __future__ import annotations

import copy
import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.swap.trial import STEPS, TrialError, run_trial
from convnext_dense.swap.trial import _canvas as trial_canvas
from convnext_dense.swap.trial_inputs import Annotations, read_annotations, training_batch
from convnext_dense.swap.trial_text import WordEmbeddings


def test_detector_passes(detector):
    before = copy.deepcopy(detector.to_dict())
    trial = run_trial(detector)
    assert trial.losses["loss"] == pytest.approx(
        trial.losses["loss_cls"] + trial.losses["loss_bbox"], rel=1e-5
    )
    assert trial.losses["loss_bbox"] > 0  # boxes were assigned to anchors
    assert (trial.no_gradient, trial.optimizer, trial.predicted) == ((), "SGD", True)
    assert tuple(trial.seconds) == STEPS
    assert detector.to_dict() == before


def test_segmenter_passes(segmenter):
    trial = run_trial(segmenter)
    # Five classes and random weights: about ln 5.
    assert 1 < trial.losses["decode.loss_ce"] < 3
    assert (trial.no_gradient, trial.predicted) == ((), True)


def test_segmenter_that_slides_and_crops_to_odd_sizes(segmenter):
    segmenter.model.data_preprocessor.size = segmenter.crop_size = (769, 769)
    segmenter.model.test_cfg = dict(mode="slide", crop_size=(769, 769), stride=(513, 513))
    shapes = []
    with record_inputs(shapes):
        run_trial(segmenter)
    # One training batch of the padded size, then windows of that size over a larger image.
    assert shapes[0] == (2, 3, 97, 129)
    assert shapes[1:] == [(1, 3, 97, 129)] * 4


@pytest.mark.slow
def test_size_is_that_of_the_padded_images(detector):
    shapes = []
    with record_inputs(shapes):
        run_trial(detector, size=(64, 96))
    assert shapes[0] == (2, 3, 64, 96)


@pytest.mark.slow
def test_weights_and_input_follow_the_seed_and_leave_the_generators_alone(segmenter):
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    first, again, other = (run_trial(segmenter, seed=seed).losses for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()


def test_parameters_without_gradient_are_named(detector):
    detector.model.neck.update(start_level=1, num_outs=4, add_extra_convs="on_input")
    assert set(run_trial(detector).no_gradient) == {"backbone.norm0.weight", "backbone.norm0.bias"}


def test_frozen_parameters_are_not_named(detector):
    detector.model.neck.update(start_level=1, num_outs=4, add_extra_convs="on_input")
    detector.model.backbone.frozen_stages = 1
    named = run_trial(detector).no_gradient
    assert not any("stages.0" in name or "downsample_layers.0" in name for name in named)


def test_checkpoints_are_left_out_and_listed(segmenter):
    segmenter.model.pretrained = "open-mmlab://never_there"
    segmenter.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="/never/there.pth")
    dropped = " ".join(run_trial(segmenter).dropped)
    assert "never_there" in dropped
    assert "/never/there.pth" in dropped


def test_detector_inside_a_semi_supervised_model_is_tried(detector):
    inner = detector.model
    preprocessor = dict(
        type="MultiBranchDataPreprocessor", data_preprocessor=inner.pop("data_preprocessor")
    )
    detector.model = dict(
        type="SoftTeacher", detector=inner, data_preprocessor=preprocessor, semi_train_cfg=dict()
    )
    trial = run_trial(detector)
    assert "loss_bbox" in trial.losses
    assert "SoftTeacher around its detector" in trial.dropped


def test_polygons_where_the_pipeline_keeps_them(detector):
    from mmdet.structures.mask import PolygonMasks

    detector.train_pipeline = [dict(type="LoadAnnotations", with_mask=True, poly2mask=False)]
    annotations = read_annotations(detector, detector.model)
    assert annotations == Annotations(num_classes=3, masks=True, polygons=True)
    batch = training_batch(build(detector), annotations, (96, 128))
    first, second = (sample.gt_instances for sample in batch["data_samples"])
    assert isinstance(first.masks, PolygonMasks)
    assert len(first) == 4 and len(second) == 3
    inside = first.masks.to_bitmap()
    for mask, (x1, y1, x2, y2) in zip(inside.masks, first.bboxes.tolist(), strict=True):
        rows, columns = np.nonzero(mask)
        assert y1 - 1 <= rows.min() and rows.max() <= y2 + 1
        assert x1 - 1 <= columns.min() and columns.max() <= x2 + 1


def test_images_of_a_batch_differ_and_have_odd_sides(segmenter):
    batch = training_batch(build(segmenter), Annotations(num_classes=5), (96, 128))
    shapes = [tuple(image.shape[1:]) for image in batch["inputs"]]
    assert shapes[0] != shapes[1]
    assert all(side % 2 for shape in shapes for side in shape)
    labels = batch["data_samples"][0].gt_sem_seg.data
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4, 255}


def test_images_have_one_size_where_the_pipeline_gives_them_one(detector):
    detector.train_pipeline = [dict(type="Resize", scale=(640, 1280), keep_ratio=False)]
    annotations = read_annotations(detector, detector.model)
    batch = training_batch(build(detector), annotations, (128, 128))
    assert {tuple(image.shape) for image in batch["inputs"]} == {(3, 128, 128)}
    detector.train_pipeline[0].scale = (550, 550)
    assert read_annotations(detector, detector.model).margins == ((1, 1), (1, 1))


def test_canvas_has_a_position_for_every_query(detector):
    detector.model.num_queries = 900
    height, width = trial_canvas(detector, detector.model)
    assert sum((height // s) * (width // s) for s in (8, 16, 32, 64)) >= 900


def test_stand_in_for_a_language_model():
    model = WordEmbeddings(max_tokens=12, pad_to_max=False, pairwise_masks=True)
    tokens = model.tokenizer(["traffic light. cat. "])
    # The words, the points, a start and an end.
    assert tokens.input_ids.shape == (1, 7)
    assert [tokens.char_to_token(i) for i in (0, 7, 8, 13, 15)] == [1, None, 2, 3, 4]
    output = model(["traffic light. cat. ", "cat. "])
    assert output["embedded"].shape == (2, 7, 768)
    assert output["text_token_mask"].sum(1).tolist() == [7, 4]
    assert output["masks"].shape == (2, 7, 7)
    assert torch.equal(output["embedded"][0, 4], output["embedded"][1, 1])  # cat
    assert WordEmbeddings(max_tokens=12)(["cat. "])["masks"].shape == (1, 12)


def test_plain_sgd_where_the_optimizer_does_not_build(segmenter):
    segmenter.optim_wrapper.constructor = "NoSuchConstructor"
    trial = run_trial(segmenter)
    assert trial.optimizer.startswith("plain SGD (")
    assert "NoSuchConstructor" in trial.optimizer


def test_mixed_precision_runs_in_float32(segmenter):
    segmenter.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")
    assert run_trial(segmenter).optimizer == "SGD"


def spoil_build(cfg, monkeypatch):
    cfg.model.decode_head.type = "NoSuchHead"


def spoil_loss(cfg, monkeypatch):
    cfg.model.decode_head.loss_decode.loss_weight = float("nan")


def spoil_backward(cfg, monkeypatch):
    from mmseg.models import FCNHead

    # The root of 0 is finite, its slope is not.
    monkeypatch.setattr(
        FCNHead, "loss_by_feat", lambda self, logits, samples: dict(loss=(logits * 0).sum().sqrt())
    )


def spoil_step(cfg, monkeypatch):
    cfg.optim_wrapper.optimizer.lr = float("inf")


def spoil_predict(cfg, monkeypatch):
    from mmseg.models import FCNHead

    monkeypatch.delattr(FCNHead.__bases__[0], "predict")


@pytest.mark.parametrize(
    ("step", "spoil", "says"),
    [
        ("build", spoil_build, "NoSuchHead"),
        ("loss", spoil_loss, "decode.loss_ce"),
        ("backward", spoil_backward, "gradient that is not finite"),
        ("step", spoil_step, "not finite"),
        ("predict", spoil_predict, "predict"),
    ],
)
def test_failure_names_its_step(segmenter, monkeypatch, step, spoil, says):
    spoil(segmenter, monkeypatch)
    with pytest.raises(TrialError, match=says) as caught:
        run_trial(segmenter)
    assert caught.value.step == step
    assert caught.value.__cause__ is caught.value.cause
    # What ran before is there.
    assert tuple(caught.value.trial.seconds) == STEPS[: STEPS.index(step)]


def test_config_without_a_model(segmenter):
    segmenter.pop("model")
    with pytest.raises(TrialError, match="no model") as caught:
        run_trial(segmenter)
    assert caught.value.step == "build"


def build(cfg):
    from mmengine.registry import MODELS, DefaultScope

    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


@contextmanager
def record_inputs(shapes):
    """Collect the shapes of what goes into ConvNeXt."""

    def note(module, inputs):
        if isinstance(module, ConvNeXt):
            shapes.append(tuple(inputs[0].shape))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()
