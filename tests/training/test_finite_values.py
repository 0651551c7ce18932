"""A run whose loss is not finite ends, and nothing that is not finite is saved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import CheckpointLoader
from torch import nn

from convnext_dense.training import FiniteValuesHook
from convnext_dense.training.finite_values import PATIENCE

NAN, INF = float("nan"), float("inf")


def steps(losses: list[dict]) -> None:
    hook = FiniteValuesHook()
    model = nn.Linear(1, 1)
    for number, outputs in enumerate(losses):
        runner = SimpleNamespace(iter=number, model=model)
        if number == 0:
            hook.before_train(runner)
        hook.after_train_iter(
            runner, number, outputs={k: torch.tensor(v) for k, v in outputs.items()}
        )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_few_steps_in_a_row_end_the_run_and_name_the_loss(value):
    bad = dict(loss=value, loss_mask=value, loss_cls=1.0, acc=NAN)
    with pytest.raises(
        RuntimeError, match=r"^loss_mask was NaN or infinite in 3 .*last of them 5:"
    ):
        steps([dict(loss=1.0)] * 2 + [bad] * PATIENCE)


def test_single_steps_pass():
    good, bad = dict(loss=1.0), dict(loss=INF)
    steps([bad, bad, good, bad, good] * 3)


class Spoil(Hook):
    """Makes the model, or its loss, not finite from an iteration on."""

    def __init__(self, what: str, iteration: int) -> None:
        self.what, self.iteration = what, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            if self.what == "data":
                data_batch["inputs"][0][:] = NAN
            elif self.what == "buffer":
                runner.model.net[1].running_var[0] = INF


def values(folder):
    return {
        path.name: CheckpointLoader.load_checkpoint(str(path))["state_dict"]
        for path in folder.glob("*.pth")
    }


@pytest.mark.slow
@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize(
    ("what", "at", "says"),
    [
        # The next checkpoint is due 1, and several iterations after it.
        ("data", 9, "net.0.weight"),
        ("data", 5, "loss was NaN or infinite in 3 iterations in a row, the last of them 8"),
        ("buffer", 9, "net.1.running_var"),
    ],
)
def test_what_was_saved_before_stays(make_runner, tmp_path, by_epoch, what, at, says):
    runner = make_runner(
        "run",
        by_epoch=by_epoch,
        interval=1 if by_epoch else 5,
        val_interval=5,
        hooks=[dict(type="FiniteValuesHook")],
        checkpoint=dict(type="DurableCheckpointHook", max_keep_ckpts=1),
        backend_args=dict(backend="atomic"),
    )
    runner.register_hook(Spoil(what, at))
    with pytest.raises(RuntimeError, match=says):
        runner.train()
    kept = values(tmp_path / "run")
    first = "epoch_1.pth" if by_epoch else "iter_5.pth"
    assert sorted(kept) == [f"best_toy_score_{first}", first]
    assert all(v.isfinite().all() for state in kept.values() for v in state.values())
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith(first)


def test_a_buffer_that_was_infinite_from_the_start_is_saved():
    model = nn.Linear(1, 1)
    model.register_buffer("mask", torch.tensor([0.0, -INF]))
    hook, runner = FiniteValuesHook(), SimpleNamespace(model=model, iter=3)
    hook.before_train(runner)
    averaged = {f"module.{name}": value for name, value in model.state_dict().items()}
    checkpoint = dict(meta=dict(iter=3), state_dict=model.state_dict(), ema_state_dict=averaged)
    hook.before_save_checkpoint(runner, checkpoint)
    averaged["module.weight"] = torch.tensor([[NAN]])
    with pytest.raises(RuntimeError, match=r"^after iteration 3 .* not saved: module\.weight\."):
        hook.before_save_checkpoint(runner, checkpoint)
