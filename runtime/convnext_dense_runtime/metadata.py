"""What an exported model says about itself, as JSON inside the file.

An exported graph has one input and a few outputs:

- ``image``: (1, C, H, W) float32, the values of the resized picture (0 to 255 in colour), channels
  in the order :attr:`Metadata.channels`. Normalisation and padding are in the graph.
- Detection: ``boxes`` (N, 4) float32 as x1, y1, x2, y2 in pixels of ``image``; ``scores`` (N,)
  float32, highest first; ``labels`` (N,) int64. N is fixed: rows with score 0 are empty. With
  :attr:`Metadata.masks` also ``masks`` (N, h, w) float32, to be compared with
  :attr:`Metadata.mask_threshold`: on each box's own grid (``"box"``), or on a grid over the whole
  of ``image`` (``"picture"``).
- Segmentation: ``logits`` (1, K, H, W) float32 in the size of ``image``. K is 1 for a model with
  one foreground class, see :attr:`Metadata.threshold`.

Where the graph leaves the number of pictures free, all outputs have it in front: ``boxes`` are
(B, N, 4).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from convnext_dense_runtime.version import __version__

# The name of the entry that holds the JSON: a metadata property in ONNX, runtime info in OpenVINO.
KEY = "convnext_dense"
# Counts up with every change that an older runtime would read wrongly.
FORMAT = 1
# Pixels along each side, pixels in all (half a gigabyte in colour), classes and channels.
MOST_SIDE, MOST_PIXELS, MOST_CLASSES, MOST_CHANNELS = 32768, 178_956_970, 100_000, 1024
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos")
COLOR_TYPES = ("color", "color_ignore_orientation", "grayscale", "unchanged")
# The values of a label map of uint8.
_MOST_LABELS = 256
_SHOWN = 60


@dataclass(frozen=True)
class Resize:
    """How a picture becomes the model's input.

    Attributes:
        scale: (width, height), or None if pictures keep their size.
        keep_ratio: Whether the picture becomes the largest one that fits into ``scale``, instead of
            exactly ``scale``.
        interpolation: As OpenCV and mmcv name it.
        turned: Whether an upright picture fits into (height, width) instead, as in mmcv's
            ``imrescale``: the longer side of the picture then goes with that of ``scale``.
    """

    scale: tuple[int, int] | None
    keep_ratio: bool = True
    interpolation: str = "bilinear"
    turned: bool = True


@dataclass(frozen=True)
class Pad:
    """The picture that a resized one is put into, at its top left.

    Attributes:
        size: (height, width) of it. A resized picture is at most as large.
        value: The value of each channel of its empty part, from 0 to 255 in colour.
    """

    size: tuple[int, int]
    value: tuple[float, ...]


@dataclass(frozen=True)
class Metadata:
    """The facts of an exported model.

    Attributes:
        task: ``detection`` or ``segmentation``.
        classes: Names, in the order of the labels.
        palette: RGB, one colour per class, or empty.
        first_label: See :class:`~convnext_dense_runtime.results.Segmentation`.
        channels: The order of the input's channels: ``BGR``, or as many letters as channels.
        color_type: How files are read, as mmcv's ``LoadImageFromFile`` names it.
        resize: How a picture becomes the input.
        pad: What the resized picture is put into, or None.
        divisor: The graph pads height and width to multiples of it.
        size: (height, width) of the input if it is fixed, else None.
        smallest: (height, width) that the input has at least.
        score: The graph leaves out detections that do not score above it.
        masks: None, ``box`` or ``picture``: see the module's docstring.
        mask_threshold: Pixels above it belong to the object, on a box's grid also those equal to
            it.
        mask_family: How masks over the picture become objects. ``mask2former``: boxes lie around
            the masks, and scores hold the mean probability inside them, both in the size of the
            picture. ``rtmdet``: the masks of the input are resized to a whole number of pixels,
            rounded up, before they are cut to the picture. Else None.
        sliding: Height and width of the window and of its stride, (h, w, h, w), or None.
        align_corners: Whether a segmenter's logits are resized with aligned corners.
        threshold: With one channel of logits, the probability above which a pixel has label 1.
        model: The types of the model, backbone and heads, for people.
        licence: Of the weights, or empty.
        source: Where the weights come from: the checkpoint's name and the recipe.
        versions: Of the packages that wrote the file.
        verification: Figures of the comparison with PyTorch.
        format: Of this JSON.
    """

    task: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    first_label: int = 0
    channels: str = "BGR"
    color_type: str = "color"
    resize: Resize = Resize(None)
    pad: Pad | None = None
    divisor: int = 1
    size: tuple[int, int] | None = None
    smallest: tuple[int, int] = (1, 1)
    score: float = 0.0
    masks: str | None = None
    mask_threshold: float = 0.5
    mask_family: str | None = None
    sliding: tuple[int, int, int, int] | None = None
    align_corners: bool = False
    threshold: float = 0.3
    model: str = ""
    licence: str = ""
    source: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        """Return the facts as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None, name: str) -> Metadata:
        """Return the facts from JSON.

        Args:
            text: The JSON, which is not trusted; None if the file has none.
            name: Of the file, for messages.

        Raises:
            ValueError: If the file is not one of ``convnext-dense export``, is of a newer format,
                or a value makes no sense.
        """
        if text is None:
            raise ValueError(
                f"{name} is a model that convnext-dense did not export: it has no metadata "
                f"{KEY!r}, which tells how pictures are prepared"
            )
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        found = content.get("format", FORMAT) if isinstance(content, dict) else None
        if type(found) is not int or found < 1:
            raise ValueError(f"{name}: its metadata is damaged: export the model again")
        if found > FORMAT:
            raise ValueError(
                f"{name} is of format {found}, newer than convnext-dense-runtime {__version__} "
                f"reads ({FORMAT}): pip install --upgrade convnext-dense-runtime"
            )
        given = {}
        for known in fields(cls):
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
        facts = cls(**given)
        _check_together(facts, name)
        return facts


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


def _checked(holds: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return a reader of the values for which a test holds; it refuses others."""

    def read(value: object) -> object:
        if not holds(value):
            raise ValueError
        return value

    return read


def _exactly(kind: type) -> Callable[[Any], Any]:
    return _checked(lambda value: type(value) is kind)


_text, _flag, _mapping = _exactly(str), _exactly(bool), _exactly(dict)


def _whole(least: int, most: int) -> Callable[[Any], int]:
    return _checked(lambda value: type(value) is int and least <= value <= most)


def _number(least: float = -math.inf, most: float = math.inf) -> Callable[[Any], float]:
    finite = _checked(lambda value: type(value) in (int, float) and math.isfinite(value))
    inside = _checked(lambda value: least <= value <= most)
    return lambda value: float(inside(finite(value)))


def _one_of(*choices: str | None) -> Callable[[Any], Any]:
    return _checked(lambda value: value in choices)


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
    held = _checked(lambda found: found[0] * found[1] <= MOST_PIXELS)
    return lambda value: held(lengths(value))


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
    "channels": _checked(lambda value: type(value) is str and 1 <= len(value) <= MOST_CHANNELS),
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
