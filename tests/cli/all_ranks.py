"""What a config of the tests imports: a hook that keeps what every process ends with."""

from __future__ import annotations

import atexit
from pathlib import Path

import mmengine.config.config
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

# Laying out the config for every checkpoint takes most of the time of a short run.
mmengine.config.config.FormatCode = lambda text, **_: (text, True)


@HOOKS.register_module(force=True)
class KeepWeightsHook(Hook):
    """Write the model, buffers included, after training: ``rank0.pth``, ``rank1.pth``.

    At the very end, tell whether the process has left the others.
    """

    def after_train(self, runner) -> None:
        model = runner.model
        if is_model_wrapper(model):
            assert not model.find_unused_parameters
            atexit.register(lambda: print(f"left the others: {not dist.is_initialized()}"))
            model = model.module
        torch.save(model.state_dict(), Path(runner.work_dir) / f"rank{runner.rank}.pth")
