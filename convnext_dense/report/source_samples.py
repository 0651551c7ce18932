"""Draw samples of a data set in the format of another tool, as it is labelled."""

from __future__ import annotations

import random

import cv2
import numpy as np
from PIL import Image

from convnext_dense.config.data.classes import distinct_colours
from convnext_dense.data.decoding import any_size, decode
from convnext_dense.data.formats import grouping
from convnext_dense.data.formats.source import Object, Picture, Source
from convnext_dense.report.samples import CELL, Sample, draw_grid

# Label of the pixels that no class has.
_LEFT_OUT = 255


def draw_source(
    source: Source, number: int, split: str | None = None, seed: int = 0
) -> tuple[bytes, int]:
    """Draw pictures of a data set with their labels into one grid.

    Args:
        source: The data set, from :func:`~convnext_dense.data.formats.detect.open_source`.
        number: The number of pictures, at least 1; fewer if the data set has fewer.
        split: ``train``, ``val`` or ``test``; None for all.
        seed: The seed of the choice.

    Returns:
        A PNG, and the number of pictures in it.

    Raises:
        ValueError: If there is no such picture, or one that cannot be read.
    """
    chosen: list[Picture] = []
    splits: set[str] = set()
    rng, seen = random.Random(seed), 0
    for picture in source.pictures():
        splits.add(picture.split or "none")
        if split is None or picture.split in (split, None):
            seen += 1
            # Each picture stays with the same probability, without a list of all.
            place = seen - 1 if seen <= number else rng.randrange(seen)
            if place < number:
                chosen[place : place + 1] = [picture]
    if not chosen:
        there = f": its splits are {', '.join(sorted(splits))}" if splits else " at all"
        raise ValueError(f"{source.root} has no picture of {split or 'any split'}{there}")
    are_maps = not any(picture.objects for picture in chosen)
    are_maps = are_maps and any(picture.label_map for picture in chosen)
    classes = tuple(dict.fromkeys(source.pixels.values())) if are_maps else source.classes
    draw = _map_sample if are_maps else _sample
    samples = [draw(picture, source, classes) for picture in chosen]
    metainfo = dict(classes=classes, palette=distinct_colours(len(classes)))
    return draw_grid(samples, metainfo), len(samples)


def _read(picture: Picture) -> tuple[np.ndarray, float]:
    """Return (H, W, 3) uint8, BGR, no larger than a cell needs, and the scale."""
    content = picture.content() if picture.content else picture.path.read_bytes()
    image = decode(content, picture.name)
    scale = min(1.0, 2 * CELL / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return image, scale


def _sample(picture: Picture, source: Source, classes: tuple[str, ...]) -> Sample:
    image, scale = _read(picture)
    height, width = image.shape[:2]
    found = picture.objects
    boxes = np.array([one.box for one in found], np.float32).reshape(-1, 4) * scale
    masks = None
    if any(one.polygons or one.rle for one in found):
        masks = np.array([_mask(one, (width, height), scale) for one in found])
    return Sample(
        picture.name,
        image,
        (picture.width, picture.height),
        boxes,
        np.array([classes.index(one.label) for one in found], np.int64),
        masks,
        np.array([one.crowd or one.ignored for one in found], bool),
    )


def _mask(one: Object, size: tuple[int, int], scale: float) -> np.ndarray:
    """Return the (H, W) bool mask of an object in a scaled picture; empty if it has only a box."""
    mask = np.zeros(size[::-1], np.uint8)
    if one.rle is not None:
        whole = grouping.decode(one.rle).astype(np.uint8)
        mask = cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST)
    for part in one.polygons:
        cv2.fillPoly(mask, [np.round(part * scale).astype(np.int32)], 1)
    return mask.astype(bool)


def _map_sample(picture: Picture, source: Source, classes: tuple[str, ...]) -> Sample:
    image, _ = _read(picture)
    height, width = image.shape[:2]
    labels = np.full((height, width), _LEFT_OUT, np.int64)
    if picture.label_map:
        with any_size(), Image.open(picture.label_map) as opened:
            colours = any(isinstance(value, tuple) for value in source.pixels)
            values = np.asarray(opened.convert("RGB") if colours else opened)
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
        for value, name in source.pixels.items():
            same = values == value if isinstance(value, int) else (values == value).all(-1)
            labels[same] = classes.index(name)
    return Sample(picture.name, image, (picture.width, picture.height), None, labels)
