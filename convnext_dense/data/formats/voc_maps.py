"""Find what the pixels of Pascal VOC's label maps mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.grouping import encode
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.source import Object, Rgb
from convnext_dense.data.formats.text_files import read_text

# Of the devkit, and of the older labelme2voc, whose SegmentationClass holds arrays.
MAP_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")
INSTANCES = "SegmentationObject"
_BACKGROUND = "background"
# Names of what is no object.
_GROUND = (_BACKGROUND, "_background_", "unlabeled", "unlabelled", "void", "unknown", "other")
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
# Pixels by which a mask may be larger or smaller than its box.
_LOOSE = 5
# labelme2voc's name of pixels that are not learned.
_LEFT_OUT = "__ignore__"


def find_map_classes(
    listing: Listing, maps: Mapping[str, str], labels: set[str]
) -> dict[int | Rgb, str]:
    """Return the class by the value of a pixel, or by its colour.

    They stand in CVAT's ``labelmap.txt`` or labelme's ``class_names.txt``, else they are VOC's own
    21 classes if all labels are among them.

    Args:
        listing: The source's files.
        maps: Names of the label maps.
        labels: Names of the classes of all objects.

    Returns:
        Empty if they are not known.
    """
    for name in listing.labels(".txt"):
        base = PurePosixPath(name).name
        if base == "labelmap.txt":
            return _read_labelmap(read_text(listing.root / name), _are_colours(listing, maps))
        if base == "class_names.txt":
            names = [line.strip() for line in read_text(listing.root / name).splitlines()]
            names = [name for name in names if name and name != _LEFT_OUT]
            return dict(enumerate(names))
    if labels <= {_BACKGROUND, *VOC_CLASSES}:
        return dict(enumerate((_BACKGROUND, *VOC_CLASSES)))
    return {}


def with_mask(one: Object, mask: np.ndarray) -> Object | None:
    """Return an object with its mask of a picture of instances.

    The pixels of an object have its number in the file of labels.

    Args:
        one: The object, with its box.
        mask: (H, W) bool.

    Returns:
        The object as it is if it has no pixel; None if the mask does not fit the box.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows) or one.polygons:
        return one
    found = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    if max(abs(a - b) for a, b in zip(found, one.box, strict=True)) > _LOOSE:
        return None
    return replace(one, rle=encode(mask))


def values_of(names: Sequence[str]) -> dict[int | Rgb, str]:
    """Return the class by the value of a pixel, for the names of the classes in their order.

    The first name is that of 0 if it is none of an object, such as ``background``, else of 1.
    """
    return dict(enumerate(names, 0 if names and names[0].lower() in _GROUND else 1))


def _read_labelmap(text: str, are_colours: bool) -> dict[int | Rgb, str]:
    """Read lines of ``name:red,green,blue:parts:actions``."""
    found: dict[int | Rgb, str] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if not name.strip() or line.startswith("#"):
            continue
        colour = rest.partition(":")[0].split(",")
        if not are_colours:
            found[len(found)] = name.strip()
        elif len(colour) == 3 and all(value.strip().isdecimal() for value in colour):
            red, green, blue = map(int, colour)
            found[red, green, blue] = name.strip()
    return found


def _are_colours(listing: Listing, maps: Mapping[str, str]) -> bool:
    """Whether the first map holds colours rather than the numbers of classes."""
    first = next(iter(maps.values()))
    header = read_header(str(listing.image_root / first), first)
    return header is not None and header.mode in ("RGB", "RGBA")
