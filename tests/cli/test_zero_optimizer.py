"""An optimizer whose state lies in several processes is saved and resumed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import Dataset

from convnext_dense.patches import enable
from convnext_dense.training.processes import join_processes, leave_processes
from convnext_dense.training.runner import ToolRunner
from convnext_dense.upstream.cpu_distributed import wrapper_without_device

pytestmark = pytest.mark.slow

ADAMW = dict(type="AdamW", lr=0.1, weight_decay=0.1)
SHARDED = dict(type="ZeroRedundancyOptimizer", optimizer_type="AdamW", lr=0.1, weight_decay=0.1)


@DATASETS.register_module(force=True)
class Points(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.sin(torch.arange(4.0) * (index + 1)))


@MODELS.register_module(force=True)
class SmallNet(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1))

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=(self.net(torch.stack(inputs)) - 1).pow(2).mean())


def train(work_dir: Path, optimizer: dict, resume: Path | None = None) -> None:
    cfg = Config(
        dict(
            model=dict(type="SmallNet"),
            work_dir=str(work_dir),
            experiment_name=f"{work_dir.name} {resume}",
            train_dataloader=dict(
                dataset=dict(type="Points"),
                batch_size=2,
                num_workers=0,
                sampler=dict(type="InfiniteSampler", shuffle=False),
            ),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=4),
            # A group of each parameter, as with rates that differ by layer.
            optim_wrapper=dict(optimizer=optimizer, paramwise_cfg=dict(bias_decay_mult=0.0)),
            param_scheduler=dict(type="PolyLR", eta_min=0, by_epoch=False, end=4),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2)),
            randomness=dict(seed=3),
            launcher="pytorch",
            resume=resume is not None,
            load_from=str(resume) if resume else None,
        )
    )
    enable()
    join_processes(cfg)
    cfg.model_wrapper_cfg = wrapper_without_device(cfg)
    ToolRunner.from_cfg(cfg).train()


def names_of_threads() -> list[str]:
    """Return the names of this process's threads, those of C++ too, where the system has them."""
    return [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]


@pytest.mark.skipif(
    torch.cuda.is_available() or not dist.is_gloo_available(), reason="gloo without CUDA"
)
def test_it_is_saved_and_resumed_as_the_optimizer_that_it_shards(two_ranks, tmp_path):
    two_ranks(sys.executable, __file__, str(tmp_path), PYTHONPATH=str(Path(__file__).parents[2]))
    plain, sharded, resumed = (
        torch.load(tmp_path / name / "iter_4.pth", weights_only=False)
        for name in ("plain", "sharded", "resumed")
    )
    for checkpoint in (sharded, resumed):
        torch.testing.assert_close(checkpoint["state_dict"], plain["state_dict"], rtol=0, atol=0)
        states = [one["optimizer"]["state"] for one in (checkpoint, plain)]
        assert states[0].keys() == states[1].keys() == set(range(4))
        torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_one_process_is_told_to_take_the_optimizer_itself(cli):
    options = "optim_wrapper.optimizer.type=ZeroRedundancyOptimizer"
    options += " optim_wrapper.optimizer.optimizer_type=AdamW"
    said = cli.refused("train", cli.argv("seg", "--weights", "none", options=options))
    assert "optim_wrapper.optimizer: ZeroRedundancyOptimizer shares" in said
    assert "Set its type to AdamW" in said


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    train(folder / "plain", ADAMW)
    train(folder / "sharded", SHARDED)
    train(folder / "resumed", SHARDED, folder / "sharded" / "iter_2.pth")
    leave_processes()
    # One that is left can abort the process at the end of Python.
    assert not [name for name in names_of_threads() if "gloo" in name]
