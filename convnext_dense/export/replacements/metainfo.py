"""What samples say about their picture, such as its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from convnext_dense.export.replacements.replace import Upstream, replaces


@replaces("mmengine.structures.base_data_element:BaseDataElement.set_metainfo")
def set_metainfo(
    original: Callable,
    self: Upstream,
    metainfo: Mapping[str, Any],
) -> None:
    """Set facts without the copies that mmengine makes: a trace takes them for constants."""
    for key, value in metainfo.items():
        self.set_field(value, key, field_type="metainfo", dtype=None)
