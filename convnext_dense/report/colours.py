"""The colours of classes, the same in pictures and in the page's legend."""

from __future__ import annotations

from collections.abc import Mapping

from convnext_dense.config.data.classes import distinct_colours


def class_colours(metainfo: Mapping) -> list[tuple[int, int, int]]:
    """Return the colours of a data set's classes: its own, or some that differ.

    Args:
        metainfo: That of the data set: ``classes``, and ``palette`` of RGB from 0 to 255. One for
            fewer classes, such as that of the benchmark, does not serve.

    Returns:
        RGB, one per class.
    """
    number, palette = len(metainfo["classes"]), metainfo.get("palette")
    if isinstance(palette, list | tuple) and len(palette) >= number:
        return [(int(r), int(g), int(b)) for r, g, b in palette[:number]]
    return distinct_colours(number)
