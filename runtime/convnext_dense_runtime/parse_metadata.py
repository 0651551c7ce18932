"""Read the facts of an exported model from its JSON, which is not trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from convnext_dense_runtime.metadata import FORMAT, KEY, Metadata, Pad, Resize
from convnext_dense_runtime.version import __version__

# Pixels along each side, pixels in all (half a gigabyte in colour), classes and channels.
MOST_SIDE, MOST_PIXELS, MOST_CLASSES, MOST_CHANNELS = 32768, 178_956_970, 100_000, 1024
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos")
COLOR_TYPES = ("color", "color_ignore_orientation", "grayscale", "unchanged")
# The values of a label map of uint8.
_MOST_LABELS = 256
_SHOWN = 60


def parse_metadata(text: str | None, name: str) -> Metadata:
    """Return the facts that a JSON holds; see :meth:`Metadata.from_json`."""
    if text is None:
        raise ValueError(
            f"{name} is a model that convnext-dense did not export: it has no metadata {KEY!r}, "
            "which tells how pictures are prepared"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: its metadata is damaged: export the model again")
    _refuse_newer(content, name)
    given = {}
    for known in fields(Metadata):
        if known.name in content:
            try:
                given[known.name] = _READERS[known.name](content[known.name])
            except (ValueError, TypeError, OverflowError):
                shown = repr(content[known.name])
                shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
                raise ValueError(
                    f"{name}: its metadata is wrong: {known.name} is {shown}: export the model "
                    "again"
                ) from None
    missing = [key for key in ("task", "classes") if key not in given]
    if missing:
        raise ValueError(f"{name}: its metadata has no {missing[0]}: export the model again")
    facts = Metadata(**given)
    _check_together(facts, name)
    return facts


def _refuse_newer(content: dict, name: str) -> None:
    found = content.get("format", FORMAT)
    if not _is_whole(found) or found < 1:
        raise ValueError(f"{name}: its metadata is damaged: export the model again")
    if found > FORMAT:
        raise ValueError(
            f"{name} is of format {found}, newer than convnext-dense-runtime {__version__} reads "
            f"({FORMAT}): pip install --upgrade convnext-dense-runtime"
        )


def _check_together(facts: Metadata, name: str) -> None:
    """Refuse facts that contradict each other."""
    wrong = ""
    if facts.palette and len(facts.palette) < len(facts.classes):
        wrong = f"{len(facts.palette)} colours for {len(facts.classes)} classes"
    elif facts.task == "segmentation" and len(facts.classes) + facts.first_label > _MOST_LABELS:
        wrong = f"{len(facts.classes)} classes, a label map holds {_MOST_LABELS} labels"
    elif facts.task == "segmentation" and facts.masks:
        wrong = "a segmenter has no masks of objects"
    elif facts.task == "detection" and facts.sliding:
        wrong = "a detector has no sliding window"
    elif facts.sliding and any(
        stride > window for window, stride in zip(facts.sliding[:2], facts.sliding[2:], strict=True)
    ):
        wrong = f"windows of {facts.sliding[:2]} leave gaps at strides of {facts.sliding[2:]}"
    elif facts.pad and len(facts.pad.value) != len(facts.channels):
        wrong = f"{len(facts.pad.value)} values fill {len(facts.channels)} channels"
    elif facts.size and facts.pad and facts.pad.size != facts.size:
        wrong = f"its size is {facts.size}, but pictures are put into {facts.pad.size}"
    elif facts.size and any(
        side < least for side, least in zip(facts.size, facts.smallest, strict=True)
    ):
        wrong = f"its size {facts.size} is below the smallest, {facts.smallest}"
    if wrong:
        raise ValueError(f"{name}: its metadata contradicts itself: {wrong}: export it again")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: object) -> int:
        if not _is_whole(value) or not least <= value <= most:  # type: ignore[operator]
            raise ValueError
        return value  # type: ignore[return-value]

    return read


def _number(least: float = -math.inf, most: float = math.inf) -> Callable[[Any], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        if not (math.isfinite(value) and least <= value <= most):
            raise ValueError
        return float(value)

    return read


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _mapping(value: object) -> dict:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _one_of(*choices: str | None) -> Callable[[Any], Any]:
    def read(value: object) -> object:
        if value not in choices:
            raise ValueError
        return value

    return read


def _listed(read_item: Callable[[Any], Any], least: int, most: int) -> Callable[[Any], tuple]:
    def read(value: object) -> tuple:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise ValueError
        return tuple(map(read_item, value))

    return read


def _or_none(read_value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read_value(value)


def _area(sides: int) -> Callable[[Any], tuple]:
    """Return a reader of lengths in pixels, of which the first two are an area."""
    lengths = _listed(_whole(1, MOST_SIDE), sides, sides)

    def read(value: object) -> tuple:
        found = lengths(value)
        if found[0] * found[1] > MOST_PIXELS:
            raise ValueError
        return found

    return read


def _channels(value: object) -> str:
    text = _text(value)
    if not 1 <= len(text) <= MOST_CHANNELS:
        raise ValueError
    return text


def _resize(value: object) -> Resize:
    given = _mapping(value)
    return Resize(
        _or_none(_area(2))(given.get("scale")),
        _flag(given.get("keep_ratio", True)),
        _one_of(*INTERPOLATIONS)(given.get("interpolation", "bilinear")),
        _flag(given.get("turned", True)),
    )


def _pad(value: object) -> Pad:
    given = _mapping(value)
    return Pad(
        _area(2)(given.get("size")), _listed(_number(), 1, MOST_CHANNELS)(given.get("value"))
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "task": _one_of("detection", "segmentation"),
    "classes": _listed(_text, 1, MOST_CLASSES),
    "palette": _listed(_listed(_whole(0, 255), 3, 3), 0, MOST_CLASSES),
    "first_label": _whole(0, 1),
    "channels": _channels,
    "color_type": _one_of(*COLOR_TYPES),
    "resize": _resize,
    "pad": _or_none(_pad),
    "divisor": _whole(1, MOST_SIDE),
    "size": _or_none(_area(2)),
    "smallest": _area(2),
    "score": _number(0, 1),
    "masks": _one_of(None, "box", "picture"),
    "mask_threshold": _number(),
    "mask_family": _one_of(None, "mask2former", "rtmdet"),
    "sliding": _or_none(_area(4)),
    "align_corners": _flag,
    "threshold": _number(0, 1),
    "model": _text,
    "licence": _text,
    "source": _text,
    "versions": _mapping,
    "verification": _mapping,
    "format": _whole(1, FORMAT),
}
