"""What torch and mmdet do of themselves while a model is exported."""

from __future__ import annotations

from collections.abc import Callable

from convnext_dense.export.replacements.replace import replaces


# In all threads, since one that exports makes it True for all.
@replaces("torch.onnx:is_in_onnx_export", in_all_threads=True)
def answer_no(original: Callable[[], bool]) -> bool:
    """Return False: mmdet's branches for its own exporter import modules that are gone."""
    return False


@replaces("torch._C:_jit_onnx_log")
def say_nothing(original: Callable, *values: object) -> None:
    """Leave out the thousands of lines that torch prints about a graph that it cannot export."""
