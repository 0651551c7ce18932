"""Checkpoints that mmengine loads from the web run no code, and are whole.

Fault: mmengine 0.10.7 loads files from the web with ``weights_only=False``, which runs code in
them. And torch's downloader, which it calls, has no time-out and no limit, accepts a part of a file
as the whole if the connection breaks off, confuses files of one name, and never checks a cached
file.
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
    """Set the function that loads from the web, since this folder has no downloader.

    Args:
        load: Accepts the arguments of mmengine's ``load_from_http``.
    """
    _serving[:] = [load]


def mend(module: ModuleType) -> None:
    """Make ``mmengine.runner.checkpoint`` load from the web by that function; safe to repeat."""
    schemes = ["http://", "https://"]
    module.CheckpointLoader.register_scheme(schemes, load_from_http, force=True)
    # The model zoos' schemes call it by this name.
    vars(module)["load_from_http"] = load_from_http


def load_from_http(*args: object, **kwargs: object) -> object:
    """Load a checkpoint from the web as mmengine asks for it."""
    return _serving[0](*args, **kwargs)
