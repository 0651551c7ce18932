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
from dataclasses import asdict, dataclass, field
from typing import Any

# The name of the entry that holds the JSON: a metadata property in ONNX, runtime info in OpenVINO.
KEY = "convnext_dense"
# Counts up with every change that an older runtime would read wrongly.
FORMAT = 1


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
        from convnext_dense_runtime.parse_metadata import parse_metadata

        return parse_metadata(text, name)
