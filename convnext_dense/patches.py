"""What a run of ours changes in the rest of the stack, and nothing before one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convnext_dense import upstream
from convnext_dense.upstream import web_checkpoints


def enable(without: Iterable[str] = ()) -> None:
    """Make mmengine and mmdet run on today's torch, in the whole process; safe to repeat.

    Called where a run starts: by the tools, by :class:`~convnext_dense.Predictor`, and where a
    registry builds our backbone or whatever else a config names of ours, which is how a run of
    mmdet's or mmseg's own tools gets it. Call it yourself where neither does.

    Args:
        without: What to leave as it is, by the names of ``docs/upstream.md``.

    Raises:
        ValueError: Where there is none of a name, here or in ``CONVNEXT_DENSE_UPSTREAM_OFF``.
        RuntimeError: Where one is in place already.
    """
    web_checkpoints.serve_by(_load_from_web)
    upstream.enable(without)


def _load_from_web(*args: Any, **kwargs: Any) -> object:
    from convnext_dense.cached_download import load_from_http

    return load_from_http(*args, **kwargs)
