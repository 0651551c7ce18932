"""End a run whose loss is not finite, and save no parameter that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from convnext_dense.checkpoints.target_model import unwrap_model
from convnext_dense.checkpoints.unusable_values import is_finite
from convnext_dense.text import first_of

# Steps in a row that end a run. One alone may be harmless: loss scaling skips its gradients.
PATIENCE = 3
# Processes compare their counts once in this many steps.
SYNC_INTERVAL = 10
SHOWN = 4
REMEDY = (
    "Earlier checkpoints stay as they are. Try a lower optim_wrapper.optimizer.lr, a longer "
    "warm-up in param_scheduler, clipped gradients (optim_wrapper.clip_grad.max_norm=1.0), "
    "bfloat16 or float32 instead of float16; check the data. A resumed run keeps its learning rate "
    "and schedule: begin a new run, from a checkpoint by load_from"
)


class FiniteValuesHook(Hook):
    """End a run whose loss is NaN or infinite, and save no parameter that is.

    A run ends after :data:`PATIENCE` such steps in a row. Several processes end together, at the
    next multiple of :data:`SYNC_INTERVAL` iterations. mmengine's RuntimeInfoHook has waited for the
    losses before, so reading them does not stop the device again.

    Every checkpoint, also a best one, is checked before it is written: if a parameter or buffer is
    not finite, the run ends instead. Buffers that were not finite when training began, such as
    masks, may stay so.

    Raises:
        RuntimeError: If a value is not finite; the message names the losses and the iteration, or
            the parameters.
    """

    # After mmengine's EMAHook, which changes what is saved, and before the checkpoint hook.
    priority = "LOW"

    def __init__(self) -> None:
        self._steps = 0  # in a row
        self._losses: list[str] = []
        self._allowed: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Remember which buffers are not finite from the beginning."""
        buffers = unwrap_model(runner.model).named_buffers()
        self._allowed = set(_not_finite(dict(buffers)))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Count steps whose loss is not finite, and end the run after a few."""
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        self._losses = [
            name
            for name, value in losses.items()
            if not math.isfinite(torch.as_tensor(value).detach().item())
        ]
        self._steps = self._steps + 1 if self._losses else 0
        if get_world_size() > 1 and (runner.iter + 1) % SYNC_INTERVAL:
            return
        steps = torch.tensor(self._steps)
        all_reduce(steps, "max")
        if steps >= PATIENCE:
            raise RuntimeError(
                f"{self._named()} was NaN or infinite in {int(steps)} iterations in a row, the "
                f"last of them {runner.iter + 1}: training has diverged. {REMEDY}"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save a parameter or buffer that is not finite."""
        for key in ("state_dict", "ema_state_dict"):
            names = _not_finite(checkpoint.get(key, {}))
            names = [name for name in names if name.removeprefix("module.") not in self._allowed]
            if names:
                raise RuntimeError(
                    f"after iteration {checkpoint['meta']['iter']} the model is not finite, and is "
                    f"not saved: {first_of(names, SHOWN)}"
                    f"{f'; {self._named()} was NaN or infinite' if self._losses else ''}. {REMEDY}"
                )

    def _named(self) -> str:
        # The parts of the loss say more than its total.
        parts = [name for name in self._losses if name != "loss"] or self._losses
        return ", ".join(parts) or "the loss of another process"


def _not_finite(state: Mapping[str, object]) -> list[str]:
    return [
        name
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not is_finite(value)
    ]
