"""Resuming runs no code from a checkpoint.

Fault: on resuming, mmengine 0.10.7 runs the text in ``meta['config']`` as Python, to compare
numbers of GPUs that its files have not contained since 0.x.
Reach: ``resume`` of both runners, for all code in the process, from the start of a run on, since
this package makes them able to resume on torch 2.6 and newer. Hooks get the text, and the file
keeps it.
Off-switch: its name.
End: when mmengine parses the text without running it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any


def mend(module: ModuleType) -> None:
    """Make the module's runner resume without that text; safe to repeat."""
    for name, loading in _LOADING.items():
        runner = vars(module).get(name)
        if runner is not None and not hasattr(runner.resume, "__wrapped__"):
            runner.resume = _without_config(runner.resume, loading)


# The method that loads the checkpoint for `resume`: the runner's, or its strategy's.
_LOADING = {
    "Runner": lambda runner: (runner, "load_checkpoint"),
    "FlexibleRunner": lambda runner: (runner.strategy, "resume"),
}


def _without_config(resume: Callable, loading: Callable[[Any], tuple[object, str]]) -> Callable:
    @functools.wraps(resume)
    def resume_without_config(self: object, *args: object, **kwargs: object) -> None:
        owner, name = loading(self)
        own = vars(owner).get(name)  # as a subclass or a test may have set it
        setattr(owner, name, _then_forget(getattr(owner, name)))
        try:
            resume(self, *args, **kwargs)
        finally:
            delattr(owner, name) if own is None else setattr(owner, name, own)

    return resume_without_config


def _then_forget(load: Callable) -> Callable:
    """Wrap a method that loads a checkpoint: return a copy without the text, keep the original."""

    @functools.wraps(load)
    def load_without_config(*args: object, **kwargs: object) -> object:
        checkpoint = load(*args, **kwargs)
        meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
        if not isinstance(meta, dict):
            return checkpoint
        kept = {key: value for key, value in meta.items() if key != "config"}
        return {**checkpoint, "meta": kept}

    return load_without_config
