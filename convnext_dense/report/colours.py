"""Choose the colours of classes for the pictures and the legend of a page."""

from __future__ import annotations

from collections.abc import Mapping

from convnext_dense.config.data.classes import distinct_colours


def class_colours(metainfo: Mapping) -> list[tuple[int, int, int]]:
    """Return the colours of a data set's classes: its own, or distinct ones.

    Args:
        metainfo: The data set's: ``classes``, and perhaps ``palette`` of RGB from 0 to 255. A
            palette for fewer classes, such as the benchmark's, is not used.

    Returns:
        RGB, one per class.
    """
    number, palette = len(metainfo["classes"]), metainfo.get("palette")
    if isinstance(palette, list | tuple) and len(palette) >= number:
        return [(int(r), int(g), int(b)) for r, g, b in palette[:number]]
    return distinct_colours(number)
