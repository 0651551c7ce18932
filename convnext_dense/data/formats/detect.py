"""Find the format of a data set, and open it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_dense.data.formats import coco, cvat, labelme, maps, voc, yolo
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.source import Source
from convnext_dense.text import nearest_first


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes:
        title: Its name for people.
        recognise: Returns the file that shows that a source is in this format, or None.
        open: Opens a source.
        looked_for: What ``recognise`` looks for, for people.
    """

    title: str
    recognise: Callable[[Listing], str | None]
    open: Callable[[Listing, Sequence[str] | None], Source]
    looked_for: str


FORMATS = {
    "yolo": Format("YOLO", yolo.recognise, yolo.Yolo, yolo.LOOKED_FOR),
    "voc": Format("Pascal VOC", voc.recognise, voc.Voc, voc.LOOKED_FOR),
    "labelme": Format("LabelMe", labelme.recognise, labelme.LabelMe, labelme.LOOKED_FOR),
    "cvat": Format("CVAT", cvat.recognise, cvat.Cvat, cvat.LOOKED_FOR),
    "coco": Format("COCO", coco.recognise, coco.Coco, coco.LOOKED_FOR),
    "label-maps": Format("label maps", maps.recognise, maps.LabelMaps, maps.LOOKED_FOR),
    "colours": Format("masks as colours", maps.recognise_colours, maps.Colours, maps.LOOKED_FOR),
}


def find_formats(listing: Listing) -> dict[str, str]:
    """Return the formats that a source can be in, each with the file that shows it.

    Raises:
        ValueError: If a file of a format cannot be read.
    """
    found = {name: one.recognise(listing) for name, one in FORMATS.items()}
    return {name: evidence for name, evidence in found.items() if evidence}


def is_source(path: str) -> bool:
    """Whether a path is of a data set rather than of a config, which can be JSON and yaml too."""
    at = Path(path)
    if at.is_dir() or at.suffix.lower() == ".xml":
        return True
    if not at.is_file() or at.suffix.lower() not in (".json", ".yaml", ".yml", ".data"):
        return False
    return any(FORMATS[name].recognise(Listing(at)) for name in ("yolo", "labelme", "coco"))


def open_source(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Source:
    """Open a data set of another tool.

    Nothing outside of its folder, and of ``images``, is read, whatever its files name; of a given
    ``data.yaml`` the folders that it names are the source.

    Args:
        path: A folder, or the file that describes the data set.
        format: A key of :data:`FORMATS`; None to find it.
        classes: Names of the classes, if the source lacks them.
        images: The folder of the pictures, if they lie elsewhere.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If no format fits, or several do; the message says what was looked for.
    """
    listing = Listing(path, images)
    if format is not None:
        if format not in FORMATS:
            known = ", ".join(nearest_first(format, FORMATS))
            raise ValueError(f"`format={format!r}` is not one of {known}")
        return FORMATS[format].open(listing, classes)
    fits = find_formats(listing)
    if len(fits) > 1:
        shown = ", ".join(f"{name} ({evidence})" for name, evidence in fits.items())
        raise ValueError(f"{path} fits several formats, {shown}: say which by `format`")
    if not fits:
        wanted = "; ".join(dict.fromkeys(one.looked_for for one in FORMATS.values()))
        count = len(listing.pictures)
        raise ValueError(f"{path} ({count} pictures) is in no known format: looked for {wanted}")
    return FORMATS[next(iter(fits))].open(listing, classes)
