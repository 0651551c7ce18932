"""Keep mmdet out of the branches that it had for its own exporter, which import what is gone."""

from __future__ import annotations

from collections.abc import Callable

from convnext_dense.export.replacements.replace import replaces


@replaces("torch.onnx:is_in_onnx_export")
def answer_no(original: Callable[[], bool]) -> bool:
    """Return False: what can be traced is the code for plain torch, with our replacements."""
    return False
