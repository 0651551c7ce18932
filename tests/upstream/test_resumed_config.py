"""The config text of a checkpoint is kept, and run by no resume."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import FlexibleRunner, Runner
from torch import nn
from torch.utils.data import Dataset

from convnext_dense.upstream import enable


class Numbers(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.tensor([float(index)])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.line(torch.stack(list(inputs))).square().mean())


class Look(Hook):
    def after_load_checkpoint(self, runner, checkpoint):
        self.seen = checkpoint


@pytest.fixture(autouse=True)
def enabled():
    enable()


@pytest.fixture(params=[Runner, FlexibleRunner])
def make(request, tmp_path):
    def build(iters, hooks=(), **kwargs):
        return request.param(
            model=Line(),
            work_dir=str(tmp_path),
            train_dataloader=dict(
                batch_size=1, dataset=Numbers(), sampler=dict(type="DefaultSampler")
            ),
            train_cfg=dict(by_epoch=False, max_iters=iters),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1, by_epoch=False)),
            custom_hooks=list(hooks),
            experiment_name=f"{request.param.__name__}{iters}{tmp_path.name}",
            **kwargs,
        )

    return build


@pytest.fixture
def trace(tmp_path):
    """A file that the text in the checkpoint would create."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def resumed(make, tmp_path, trace):
    """A run that was resumed from a checkpoint with such a text, and what a hook has seen of it."""
    make(1).train()
    path = tmp_path / "iter_1.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["meta"]["config"] = f"open({str(trace)!r}, 'w')"
    torch.save(checkpoint, path)
    look = Look()
    runner = make(2, [look], resume=True, load_from=str(path))
    runner.train()
    assert runner.iter == 2
    return runner, look, checkpoint["meta"]


def test_who_keeps_the_checkpoint_has_the_whole_of_it(resumed):
    runner, look, meta = resumed
    assert look.seen["meta"] == meta
    assert all(not type(hook).__module__.startswith("convnext_dense") for hook in runner.hooks)


def test_a_load_after_a_resume_is_as_ever(resumed, tmp_path):
    runner, look, meta = resumed
    look.seen = None
    runner.load_checkpoint(str(tmp_path / "iter_1.pth"))
    assert look.seen["meta"] == meta
    assert "load_checkpoint" not in vars(runner)
    assert "resume" not in vars(getattr(runner, "strategy", runner))
