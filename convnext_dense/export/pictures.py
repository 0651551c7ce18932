"""Pictures to trace and to verify with: generated ones, and a user's through the test pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.data.pipelines import RGB
from convnext_dense.data.shapes import draw_scene
from convnext_dense.export.verify import Picture
from convnext_dense.inference.model import test_dataset
from convnext_dense.inference.predictor import make_pipeline
from convnext_dense.text import one_line
from convnext_dense_runtime.pictures import read_picture
from convnext_dense_runtime.prepare import prepare_picture

if TYPE_CHECKING:
    from mmengine.config import Config

    from convnext_dense_runtime.metadata import Metadata

# Sides of the generated pictures as parts of the pipeline's longer and shorter side: a picture that
# lies, one that is upright, and a small one; none is a multiple of 32 of usual sides.
SHAPES = ((1.0, 0.79), (0.57, 0.73), (0.41, 0.37))
# Where the pipeline pads pictures, the model may need sides that are multiples of its last stride.
STRIDE = 32
# The sides where the pipeline keeps each picture's size.
SIDE = 512
SMALLEST_SCENE = 96


def traced_size(metadata: Metadata) -> tuple[int, int]:
    """Return (height, width) of the picture to trace with.

    It has places for the 900 queries of DINO. And at each stride (4, 8, ...) it needs padding, or
    else the trace would have none of what models do about the border; where a pipeline pads, they
    do nothing.
    """
    if metadata.size:
        return metadata.size
    step = max(metadata.divisor, STRIDE)
    more = 0 if metadata.pad else 3
    return 8 * step + more, 10 * step + more


def generated(metadata: Metadata, seed: int = 0) -> Iterator[Picture]:
    """Yield three generated pictures of sizes other than the traced one, or of the fixed size."""
    for number, size in enumerate(sizes(metadata)):
        values = generate(size, len(metadata.channels), seed + number)
        yield Picture(f"a generated picture of {size[0]} x {size[1]} pixels", values)


def sizes(metadata: Metadata) -> list[tuple[int, int]]:
    """Return (height, width) of the generated pictures."""
    if metadata.size:
        return [metadata.size] * len(SHAPES)
    given = metadata.pad.size if metadata.pad else metadata.resize.scale or (SIDE, SIDE)
    if metadata.sliding:
        given = metadata.sliding[:2]
    sides = max(given), min(given)
    step = STRIDE if metadata.pad else 1
    found = []
    for number, parts in enumerate(SHAPES):
        pair = [int(part * side) for part, side in zip(parts, sides, strict=True)]
        pair = [max(side // step * step, *metadata.smallest) for side in pair]
        height, width = pair if number % 2 else pair[::-1]
        found.append((height, width))
    return [size if size != traced_size(metadata) else (size[0] + step, size[1]) for size in found]


def generate(size: tuple[int, int], channels: int, seed: int) -> np.ndarray:
    """Return a picture of shapes on a textured ground, (1, C, H, W) float32; noise if not BGR."""
    rng = np.random.default_rng(seed)
    if channels != RGB:
        return rng.uniform(0, 255, (1, channels, *size)).astype(np.float32)
    scene, _ = draw_scene(rng, max(*size, SMALLEST_SCENE))
    return as_input(scene[: size[0], : size[1]])


def as_input(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, C) as the input of a graph, (1, C, H, W) float32."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def prepared(cfg: Config, paths: Sequence[str], metadata: Metadata) -> Iterator[Picture]:
    """Yield pictures of a user as the test pipeline prepares them, or as a fixed size needs.

    Raises:
        ValueError: If one cannot be read, or is smaller than the model can take.
    """
    if not paths:
        return
    prepare = _into_size(metadata) if metadata.size else _by_pipeline(cfg, len(metadata.channels))
    for path in paths:
        try:
            values = prepare(path)
        except Exception as error:  # a decoder or a transform may raise anything
            reason = one_line(error)
            raise ValueError(reason if path in reason else f"{path}: {reason}") from error
        size = values.shape[-2:]
        if any(side < least for side, least in zip(size, metadata.smallest, strict=True)):
            raise ValueError(
                f"{path} becomes {size[0]} x {size[1]} pixels (height x width), smaller than the "
                f"{metadata.smallest[0]} x {metadata.smallest[1]} that the model takes at least"
            )
        yield Picture(path, values)


def _by_pipeline(cfg: Config, channels: int) -> Callable[[str], np.ndarray]:
    steps = test_dataset(cfg).pipeline
    load, transform = make_pipeline(steps, cfg.get("default_scope"), channels)
    return lambda path: transform(load(dict(img_path=path)))["inputs"][None].float().numpy()


def _into_size(metadata: Metadata) -> Callable[[str], np.ndarray]:
    def prepare(path: str) -> np.ndarray:
        return prepare_picture(read_picture(path, metadata.color_type), metadata)[None]

    return prepare
