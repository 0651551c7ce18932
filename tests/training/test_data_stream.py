import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS

pytestmark = pytest.mark.slow


class Recorder(Hook):
    """Keeps the batches of a run by iteration."""

    def __init__(self):
        self.batches = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches[runner.iter] = torch.stack(data_batch["inputs"])


def train(runner):
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return runner.model.state_dict(), recorder.batches


def interrupt(runner):
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    # Left to the garbage collector, torch's workers take 5 seconds each to end.
    runner.train_loop.dataloader_iterator = None


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("by_epoch", "stop", "resumed"), [(True, 13, 10), (False, 10, 9), (False, 5, 4)]
)
def test_resumed_run_ends_at_the_weights_of_an_uninterrupted_one(
    make_runner, by_epoch, stop, resumed, num_workers
):
    options = dict(by_epoch=by_epoch, num_workers=num_workers)
    straight, batches = train(make_runner("straight", **options))
    interrupt(make_runner("stopped", stop=stop, **options))
    continued, later = train(make_runner("stopped", resume=True, **options))
    assert_equal(continued, straight)
    assert min(later) == resumed
    assert all(torch.equal(later[i], batches[i]) for i in later)


@pytest.mark.parametrize("by_epoch", [True, False])
def test_resume_takes_the_seed_from_the_checkpoint_where_the_config_has_none(make_runner, by_epoch):
    runner = make_runner("straight", by_epoch=by_epoch, seed=None)
    seed = runner.seed
    straight, _ = train(runner)
    interrupt(make_runner("stopped", by_epoch=by_epoch, stop=10, seed=seed))
    resumed = make_runner("stopped", by_epoch=by_epoch, resume=True, seed=None)
    assert resumed.seed != seed
    continued, _ = train(resumed)
    assert_equal(continued, straight)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_epochs_see_different_augmentations_of_the_same_samples(make_runner, num_workers):
    _, batches = train(make_runner("run", num_workers=num_workers))
    epochs = [
        torch.cat([batches[i] for i in range(5 * e, 5 * e + 5)]).sort(0).values for e in range(4)
    ]
    for epoch in range(3):
        assert not torch.isclose(epochs[epoch], epochs[epoch + 1]).any()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_segments_see_different_batches(make_runner, num_workers):
    _, batches = train(make_runner("run", by_epoch=False, num_workers=num_workers))
    rows = torch.cat([batches[i] for i in range(12)])
    assert len(rows.unique(dim=0)) == 24


def test_another_seed_gives_another_run(make_runner):
    ours, _ = train(make_runner("a", seed=1))
    theirs, _ = train(make_runner("b", seed=2))
    assert not torch.equal(ours["net.0.weight"], theirs["net.0.weight"])


def test_resume_from_a_checkpoint_of_other_intervals_sees_the_same_batches(make_runner):
    options = dict(by_epoch=False, val_interval=12, num_workers=2)
    _, batches = train(make_runner("straight", interval=4, **options))
    # Leaves a checkpoint at 6, between the places 4 and 8 of the runs with interval 4.
    interrupt(make_runner("stopped", interval=6, stop=7, **options))
    _, later = train(make_runner("stopped", interval=4, resume=True, **options))
    assert sorted(later) == list(range(6, 12))
    assert all(torch.equal(later[i], batches[i]) for i in later)


@DATASETS.register_module(force=True)
class ShapedPoints(DATASETS.get("AugmentedPoints")):
    """Samples of two aspect ratios."""

    def get_data_info(self, index):
        return dict(width=1 + index % 3, height=2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_of_one_aspect_ratio_go_on_as_they_would_have(make_runner, num_workers):
    loader = dict(
        dataset=dict(type="ShapedPoints"), batch_sampler=dict(type="mmdet.AspectRatioBatchSampler")
    )
    options = dict(by_epoch=False, num_workers=num_workers, loader=loader)
    straight, batches = train(make_runner("straight", **options))
    interrupt(make_runner("stopped", stop=10, **options))
    continued, later = train(make_runner("stopped", resume=True, **options))
    assert_equal(continued, straight)
    assert min(later) == 9
    assert all(torch.equal(later[i], batches[i]) for i in later)


def test_a_sampler_that_cannot_be_restarted_is_left_alone_with_a_warning(make_runner, monkeypatch):
    runner = make_runner("run", by_epoch=False, loader=dict(sampler=dict(type="DefaultSampler")))
    logged = []
    monkeypatch.setattr(runner.logger, "log", lambda level, message: logged.append(message))
    runner.train()
    assert runner.iter == runner.max_iters
    assert any("DefaultSampler under BatchSampler cannot be restarted" in line for line in logged)
