"""Apply this package's patches of mmengine and mmdet, only when a run starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convnext_dense import upstream
from convnext_dense.upstream import web_checkpoints


def enable(without: Iterable[str] = ()) -> None:
    """Patch mmengine and mmdet in this process so that they run with current versions of torch.

    The tools and :class:`~convnext_dense.Predictor` call this, and so does a registry when it
    builds our backbone or another of our classes, for runs of mmdet's and mmseg's own tools. In
    other cases call it yourself. Repeated calls are safe.

    Args:
        without: Names of patches to leave out; ``docs/upstream.md`` lists them.

    Raises:
        ValueError: If there is no patch of a name, here or in ``CONVNEXT_DENSE_UPSTREAM_OFF``.
        RuntimeError: If a patch to leave out is already applied.
    """
    web_checkpoints.serve_by(_load_from_web)
    upstream.enable(without)


def _load_from_web(*args: Any, **kwargs: Any) -> object:
    from convnext_dense.cached_download import load_from_http

    return load_from_http(*args, **kwargs)
