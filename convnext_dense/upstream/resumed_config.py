"""Resuming runs no code of a checkpoint.

Fault: on resuming, mmengine 0.10.7 runs the text under ``meta['config']`` as Python, to compare
numbers of GPUs that its own files have not held since 0.x. Reach: ``resume`` of both runners,
everybody's, since it is this package that lets them resume on torch 2.6 and newer. It can go when
mmengine parses the text without running it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner, Runner


class ForgetConfigHook(Hook):
    """Drop the text that the resume would run from what was loaded. The file keeps it."""

    # After the hooks that may want to look at it.
    priority = "LOWEST"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop it."""
        meta = checkpoint.get("meta")
        if isinstance(meta, dict):
            meta.pop("config", None)


def install() -> None:
    """Let both runners resume without it; safe to repeat."""
    for runner in (Runner, FlexibleRunner):
        if not hasattr(runner.resume, "__wrapped__"):
            runner.resume = _without_config(runner.resume)


def _without_config(resume: Callable) -> Callable:
    @functools.wraps(resume)
    def resume_without_config(self: Runner, *args: object, **kwargs: object) -> None:
        if not any(isinstance(hook, ForgetConfigHook) for hook in self.hooks):
            self.register_hook(ForgetConfigHook())
        resume(self, *args, **kwargs)

    return resume_without_config
