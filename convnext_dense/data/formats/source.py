"""What every reader of a format returns: pictures with their objects, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

Rgb = tuple[int, int, int]
# The class by the value of a pixel, or by its colour (red, green, blue).
Pixels = Mapping[int | Rgb, str]


@dataclass(frozen=True)
class Object:
    """An object that somebody labelled.

    Attributes:
        label: Its class, by name.
        box: x1, y1, x2, y2 in pixels: edges, so that a box of the first pixel is 0, 0, 1, 1.
        polygons: The parts of its outline, each (N, 2) float64 of x, y in pixels; empty if the
            source has only the box.
        crowd: Whether it is a group that COCO calls ``iscrowd``.
        ignored: Whether a detector is neither rewarded nor punished for it (VOC's ``difficult``).
        rle: COCO's run-length code of the mask, if the source has that instead of polygons.
        place: Where it stands, such as ``labels/a.txt, line 3``, for messages.
    """

    label: str
    box: tuple[float, float, float, float]
    polygons: tuple[np.ndarray, ...] = ()
    crowd: bool = False
    ignored: bool = False
    rle: dict | None = None
    place: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture of a data set, with what was labelled in it.

    Attributes:
        path: The picture's file; where there is only ``content``, the file that holds it.
        name: Its name in the data set: a relative path with forward slashes, unique in the source.
        width: In pixels, as the labels count them.
        height: In pixels, as the labels count them.
        objects: What was labelled, in the order of the source.
        split: ``train``, ``val`` or ``test`` if the source says so, else None.
        label_map: The file with the class of every pixel, or None. :attr:`Source.pixels` has
            the classes of its values.
        content: Returns the bytes of the picture, if the source has no file of it, as LabelMe
            embeds pictures; else None. ``name`` then has the suffix that fits them.
    """

    path: Path
    name: str
    width: int
    height: int
    objects: tuple[Object, ...] = ()
    split: str | None = None
    label_map: Path | None = None
    content: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Loss:
    """Something of the source that is not in the result, or is there in another form.

    Attributes:
        what: One line for people, such as ``circle became a polygon of 32 points``; equal for all
            members of a kind, so that they are counted together.
        place: The file, and the line where there is one.
        objects: How many objects of the source are not in the result because of it.
        error: Whether the source is wrong there, so that somebody should look at it.
        pictures: How many pictures of the source are not in the result because of it.
    """

    what: str
    place: str
    objects: int = 0
    error: bool = False
    pictures: int = 0


class UnnamedError(ValueError):
    """The classes of a source have no names; the message says how to give them."""


class Source(Protocol):
    """A data set in one of the formats.

    Attributes:
        format: ``yolo``, ``voc``, ``labelme``, ``cvat``, ``coco``, ``colours``, ``label-maps``, ...
        root: Its folder or file, as given.
        folders: The folders in which its files are looked for.
        losses: Filled while :meth:`pictures` is read, anew each time. Who reads many pictures may
            clear it in between.
    """

    format: str
    root: Path
    folders: tuple[Path, ...]
    losses: list[Loss]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes in the order of the source.

        A reader that learns the names from the objects reads all labels once for them.
        """
        ...

    @property
    def pixels(self) -> Pixels:
        """What the pixels of its label maps mean; others are unlabelled.

        Empty if it has no label maps, and for masks as colours whose table is not in a file that
        this format knows.
        """
        ...

    @property
    def about(self) -> int:
        """About how many pictures it has, to show progress."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Yield the pictures one at a time, in a stable order: only a few are in memory at once."""
        ...
