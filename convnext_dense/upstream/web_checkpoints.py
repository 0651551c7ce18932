"""Checkpoints that mmengine loads from the web run no code, and come whole.

Fault: mmengine 0.10.7 loads files from the web with ``weights_only=False``, which runs what they
contain; and torch's downloader, which it calls, has no time-out and no limit, takes what is left of
a connection that broke off for the whole file, keeps files of one name apart by nothing, and never
looks at a cached file again.
Reach: every load of mmengine from ``http://`` and ``https://``, and from the model zoos that it
knows by scheme, from the start of a run on or once weights of such a zoo are asked for.
Off-switch: its name.
End: when mmengine loads with ``weights_only=True``, and torch downloads whole files.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

_serving: list[Callable[..., Any]] = []


def serve_by(load: Callable[..., Any]) -> None:
    """Tell what loads from the web: this folder has no downloader.

    Args:
        load: Takes what mmengine's ``load_from_http`` takes.
    """
    _serving[:] = [load]


def mend(module: ModuleType) -> None:
    """Let ``mmengine.runner.checkpoint`` load from the web by it; safe to repeat."""
    schemes = ["http://", "https://"]
    module.CheckpointLoader.register_scheme(schemes, load_from_http, force=True)
    # The schemes of the model zoos call it by this name.
    vars(module)["load_from_http"] = load_from_http


def load_from_http(*args: object, **kwargs: object) -> object:
    """Load a checkpoint from the web as mmengine asks for it."""
    return _serving[0](*args, **kwargs)
