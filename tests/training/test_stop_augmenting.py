"""The end of the strong augmentation: of the pipeline, and of whole batches."""

from types import SimpleNamespace

import pytest

from convnext_dense.training.stop_augmenting import StopAugmentingHook


@pytest.mark.parametrize("wrapped", [False, True])
def test_pipeline_and_batches_become_plain(wrapped, monkeypatch):
    monkeypatch.setattr(
        "convnext_dense.training.stop_augmenting.is_model_wrapper", lambda model: wrapped
    )
    model = SimpleNamespace(data_preprocessor=SimpleNamespace(batch_augments=["resize"]))
    dataset = SimpleNamespace(pipeline="strong")
    runner = SimpleNamespace(
        epoch=0,
        model=SimpleNamespace(module=model) if wrapped else model,
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
