"""What a run of ours changes in the rest of the stack, and nothing before one."""

from __future__ import annotations


def enable() -> None:
    """Put every workaround in place; safe to repeat.

    Called where a run starts: by the tools, by :class:`~convnext_dense.Predictor`, and where a
    registry builds our backbone, which is how a run of mmdet's or mmseg's own tools gets them. Call
    it yourself where neither does.
    """
    from convnext_dense import cached_download, upstream

    upstream.install()
    cached_download.register()
