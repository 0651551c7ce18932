"""The end of the strong augmentation: of the pipeline, and of whole batches."""

from types import SimpleNamespace

import pytest
from torch import nn

from convnext_dense.training.stop_augmenting import StopAugmentingHook


@pytest.mark.parametrize("wrapped", [False, True])
def test_pipeline_and_batches_become_plain(wrapped, monkeypatch):
    monkeypatch.setattr(
        "convnext_dense.checkpoints.target_model.is_model_wrapper", lambda m: hasattr(m, "module")
    )
    model, wrapper = nn.Module(), nn.Module()
    model.data_preprocessor = SimpleNamespace(batch_augments=["resize"])
    wrapper.module = model
    dataset = SimpleNamespace(pipeline="strong")
    runner = SimpleNamespace(
        epoch=0,
        model=wrapper if wrapped else model,
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=SimpleNamespace(info=lambda text: None),
    )
    hook = StopAugmentingHook(switch_epoch=2, switch_pipeline=[])
    for runner.epoch in (0, 1):
        hook.before_train_epoch(runner)
        assert (dataset.pipeline, model.data_preprocessor.batch_augments) == ("strong", ["resize"])
    runner.epoch = 2
    hook.before_train_epoch(runner)
    assert dataset.pipeline.transforms == [] and model.data_preprocessor.batch_augments is None
