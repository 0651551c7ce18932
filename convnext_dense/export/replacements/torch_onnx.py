"""Keep mmdet out of the branches that it had for its own exporter, which import what is gone."""

from __future__ import annotations

from collections.abc import Callable

from convnext_dense.export.replacements.replace import replaces


# In all threads, since one that exports makes it True for all.
@replaces("torch.onnx:is_in_onnx_export", in_all_threads=True)
def answer_no(original: Callable[[], bool]) -> bool:
    """Return False: what can be traced is the code for plain torch, with our replacements."""
    return False
