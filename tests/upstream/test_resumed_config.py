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
        self.seen = checkpoint["meta"]["config"]


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


def test_a_resume_does_not_run_it(make, tmp_path):
    make(1).train()
    trace, path = tmp_path / "ran", tmp_path / "iter_1.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["meta"]["config"] = f"open({str(trace)!r}, 'w')"
    torch.save(checkpoint, path)
    look = Look()
    runner = make(2, [look], resume=True, load_from=str(path))
    runner.train()
    assert runner.iter == 2
    assert not trace.exists()
    assert look.seen == checkpoint["meta"]["config"]
