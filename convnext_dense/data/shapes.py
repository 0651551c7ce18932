"""Make the demo's data set: overlapping shapes on textures, annotated in COCO's format.

There are five classes, which differ in form and usually in hue. Objects have 16 to 130 pixels and
hide parts of each other; masks cover the visible part. Some images have a crowd of tiny shapes with
one annotation. The same parameters make the same bytes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from convnext_dense.files import replacing_folder

CLASSES = ("circle", "square", "triangle", "star", "ring")
RECORD = "made_with.txt"  # in the data set's folder: what it was made with
_FAVOURITE_HUES = (0, 36, 72, 108, 144)  # of OpenCV's 180
_HUE_SPREAD = 7.0  # standard deviation: some objects have the hue of another class
_CROWD_CHANCE = 0.15
_SMALL_CHANCE = 0.15
_VISIBLE_AT_LEAST = 0.5  # share of every object that stays visible, so that it can be learned
_CONTOUR_SCALE = 4  # contours run through pixel centres: the finer the grid, the less they cut off
_JPEG_QUALITY = 92


def make_shapes(
    out: str | Path,
    train: int = 200,
    val: int = 40,
    size: int = 288,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Make the data set, unless it exists already.

    Args:
        out: Its folder, in which ``train/``, ``val/`` and
            ``annotations/instances_{train,val}.json`` are made.
        train: Number of training images.
        val: Number of validation images.
        size: Side of the square images in pixels, at least 96.
        seed: Seed of the random numbers.
        progress: Called with the number of images made, and of all.

    Returns:
        False if ``out`` holds the data set of these parameters already.

    Raises:
        FileExistsError: If ``out`` holds anything else.
        ValueError: If a number is too small.
        WriteError: If the data set could not be written.
    """
    if train < 1 or val < 1 or size < 96 or seed < 0:
        raise ValueError(
            "a data set of shapes wants `train` and `val` of at least 1, `size` of at least 96 and "
            f"`seed` of at least 0, got {train}, {val}, {size} and {seed}"
        )
    out = Path(out)
    made_with = dict(version=1, train=train, val=val, size=size, seed=seed)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        record = out / RECORD
        found = json.loads(record.read_text()) if record.is_file() else None
        if found == made_with:
            return False
        held = f"shapes made with {found}" if found else "files that are not a data set of shapes"
        raise FileExistsError(f"{out} holds {held}: name another folder, or remove this one")
    done = itertools.count(1)
    with replacing_folder(out) as aside:
        for index, (split, number) in enumerate((("train", train), ("val", val))):
            for _ in _make_split(aside, split, number, size, (seed, index)):
                progress(next(done), train + val)
        (aside / RECORD).write_text(json.dumps(made_with))
    return True


def _make_split(
    folder: Path, split: str, number: int, size: int, seed: tuple[int, int]
) -> Iterator[None]:
    """Write the images of a split, then its annotations; yield after each image."""
    (folder / split).mkdir()
    (folder / "annotations").mkdir(exist_ok=True)
    images, annotations = [], list[dict]()
    for index in range(number):
        # An image depends only on its own number, not on the number of images.
        picture, objects = draw_scene(np.random.default_rng((*seed, index)), size)
        name = f"{index:06d}.jpg"
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / split / name).write_bytes(jpeg.tobytes())
        images.append(dict(id=index + 1, file_name=name, width=size, height=size))
        for label, mask, is_crowd in objects:
            annotation = annotate(mask, is_crowd)
            annotation.update(id=len(annotations) + 1, image_id=index + 1, category_id=label + 1)
            annotations.append(annotation)
        yield
    content = dict(
        info=dict(description="Shapes on textured grounds"),
        images=images,
        annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)],
    )
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def draw_scene(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, list[tuple[int, np.ndarray, bool]]]:
    """Draw one image.

    Args:
        rng: Source of all random numbers.
        size: Side in pixels.

    Returns:
        The image (size, size, 3) in BGR as uint8, and for each object its class, the mask of its
        visible part (size, size) as bool, and whether it is a crowd.
    """
    picture = _ground(rng, size)
    owner = np.full((size, size), -1)  # the object that is on top, per pixel
    whole_areas: list[int] = []
    kinds: list[tuple[int, bool]] = []
    if rng.random() < _CROWD_CHANCE:
        label = int(rng.integers(len(CLASSES)))
        mask = _crowd(rng, size, label)
        _paint(rng, picture, mask, label)
        owner[mask] = 0
        whole_areas.append(int(mask.sum()))
        kinds.append((label, True))
    wanted = len(kinds) + int(rng.integers(3, 8))
    for _ in range(200):  # an object that would hide too much is drawn again at another place
        if len(kinds) == wanted:
            break
        label = int(rng.integers(len(CLASSES)))
        low, high = (8, 14) if rng.random() < _SMALL_CHANCE else (20, max(24, size * 0.22))
        mask = _shape(rng, size, label, rng.uniform(low, high))
        left = np.bincount(owner[~mask & (owner >= 0)], minlength=len(kinds))
        if any(left[i] < _VISIBLE_AT_LEAST * area for i, area in enumerate(whole_areas)):
            continue
        owner[mask] = len(kinds)
        _paint(rng, picture, mask, label)
        whole_areas.append(int(mask.sum()))
        kinds.append((label, False))
    noisy = picture + rng.normal(0, 5, picture.shape)
    objects = [(label, owner == i, is_crowd) for i, (label, is_crowd) in enumerate(kinds)]
    return np.clip(noisy, 0, 255).astype(np.uint8), objects


def _ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a dull texture of patches and stripes: (size, size, 3) as float."""
    base = rng.uniform(60, 170, 3) * 0.3 + rng.uniform(60, 170) * 0.7
    patches = rng.normal(0, 18, (int(rng.integers(4, 12)),) * 2).astype(np.float32)
    texture = cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC)
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 40)
    y, x = np.mgrid[:size, :size]
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    return base + (texture + rng.uniform(0, 12) * stripes)[..., None]


def _paint(rng: np.random.Generator, picture: np.ndarray, mask: np.ndarray, label: int) -> None:
    """Colour a shape, lighter on one side than on the other."""
    hue = round(rng.normal(_FAVOURITE_HUES[label], _HUE_SPREAD)) % 180
    hsv = np.array([[[hue, rng.integers(150, 256), rng.integers(150, 256)]]], np.uint8)
    colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(float)
    y, x = np.nonzero(mask)
    slope = rng.uniform(-0.3, 0.3, 2) / len(mask)
    shade = 1 + slope[0] * (x - x.mean()) + slope[1] * (y - y.mean())
    picture[y, x] = colour * shade[:, None]


def _shape(rng: np.random.Generator, size: int, label: int, radius: float) -> np.ndarray:
    """Return the mask of one shape at a random place and angle, completely in the image."""
    centre = rng.uniform(radius + 1, size - radius - 1, 2)
    return _mask(size, label, centre, radius, rng.uniform(0, 2 * np.pi))


def _crowd(rng: np.random.Generator, size: int, label: int) -> np.ndarray:
    """Return the mask of a cluster of tiny shapes of one class."""
    spread = size * 0.09
    centre = rng.uniform(2 * spread, size - 2 * spread, 2)
    mask = np.zeros((size, size), bool)
    for _ in range(int(rng.integers(12, 21))):
        place = centre + rng.uniform(-spread, spread, 2)
        mask |= _mask(size, label, place, rng.uniform(4, 7), rng.uniform(0, 2 * np.pi))
    return mask


def _mask(size: int, label: int, centre: np.ndarray, radius: float, angle: float) -> np.ndarray:
    """Rasterise a shape of a radius about a centre (x, y)."""
    y, x = np.mgrid[:size, :size]
    if CLASSES[label] in ("circle", "ring"):
        distance = np.hypot(x - centre[0], y - centre[1])
        inner = radius * 0.55 if CLASSES[label] == "ring" else -1
        return (distance <= radius) & (distance > inner)
    corners = {"square": 4, "triangle": 3, "star": 10}[CLASSES[label]]
    radii = np.full(corners, radius)
    if CLASSES[label] == "star":
        radii[1::2] *= 0.45
    angles = angle + 2 * np.pi * np.arange(corners) / corners
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + centre
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask.astype(bool)


def annotate(mask: np.ndarray, is_crowd: bool) -> dict:
    """Return the annotation of a mask in COCO's format.

    Polygons cannot have holes: crowds, rings and objects with a hidden middle become run lengths.

    Args:
        mask: (H, W) as bool.
        is_crowd: Whether it covers several objects.

    Returns:
        ``segmentation``, and the ``area``, ``bbox`` and ``iscrowd`` that go with it.
    """
    from pycocotools import mask as coco_mask

    polygons = None if is_crowd else _polygons(mask)
    if polygons:
        rle = coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape))
    else:
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(
        segmentation=polygons or dict(size=list(rle["size"]), counts=rle["counts"].decode()),
        area=float(coco_mask.area(rle)),
        bbox=[float(side) for side in coco_mask.toBbox(rle)],
        iscrowd=int(is_crowd),
    )


def _polygons(mask: np.ndarray) -> list[list[float]] | None:
    """Trace the parts of a mask; None if one has a hole."""
    fine = mask.astype(np.uint8).repeat(_CONTOUR_SCALE, 0).repeat(_CONTOUR_SCALE, 1)
    contours, hierarchy = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if (hierarchy[0, :, 3] >= 0).any():
        return None
    polygons = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, 0.4 * _CONTOUR_SCALE, closed=True)
        if len(corners) >= 3:
            polygons.append(((corners.reshape(-1) + 0.5) / _CONTOUR_SCALE).round(2).tolist())
    return polygons
