"""A config's text, formatted once.

Fault: mmengine 0.10.7 formats the whole config with yapf each time that its text is needed: at the
start of a run for the log, for the copy in the work directory and for the visualizer, then for each
checkpoint. Each time takes some seconds.
Reach: the text of every ``Config``, from the start of a run on; the text stays the same. The forks
import yapf at each call, and are left as they are.
Off-switch: its name.
End: when mmengine keeps the text or drops yapf.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from types import ModuleType
from typing import Any

# A run has one config; a process of tests has several, one after the other.
NUM_TEXTS = 8


def mend(module: ModuleType) -> None:
    """Make ``mmengine.config.config`` remember yapf's results for the last configs."""
    format_code = getattr(module, "FormatCode", None)
    if format_code is not None and not hasattr(format_code, "__wrapped__"):
        vars(module)["FormatCode"] = remembering(format_code)


def remembering(format_code: Callable[..., tuple[str, bool]]) -> Callable[..., tuple[str, bool]]:
    """Wrap yapf's ``FormatCode``, which returns the formatted text and whether it changed.

    The wrapper accepts mmengine's arguments: the text, the style as a dict, and options that can be
    hashed. An error is not remembered.
    """

    @lru_cache(maxsize=NUM_TEXTS)
    def remembered(text: str, style: tuple, options: tuple) -> tuple[str, bool]:
        return format_code(text, style_config=dict(style), **dict(options))

    @wraps(format_code)
    def remembering_format_code(
        text: str, *, style_config: dict[str, Any], **options: Any
    ) -> tuple[str, bool]:
        return remembered(text, tuple(style_config.items()), tuple(options.items()))

    return remembering_format_code
