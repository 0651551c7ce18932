"""Read pictures by OpenCV or Pillow, whichever is installed, as mmcv's loader does by OpenCV."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense_runtime.metadata import MOST_PIXELS, Metadata
from convnext_dense_runtime.resize import opencv

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

EITHER = "pip install 'convnext-dense-runtime[pictures]' or opencv-python-headless"


def read_picture(path: str | Path, color_type: str = "color") -> np.ndarray:
    """Return the picture of a file; arguments and errors as for :func:`decode_picture`.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is an address: give a file or an array")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    return decode_picture(path.read_bytes(), str(path), color_type)


def decode_picture(content: bytes, name: str, color_type: str = "color") -> np.ndarray:
    """Return the picture that bytes hold.

    Args:
        content: Of a file.
        name: Of the picture, for messages.
        color_type: As mmcv's ``LoadImageFromFile``. ``color`` and ``grayscale`` turn a picture as
            its EXIF orientation says.

    Returns:
        (H, W, C) in BGR order, or (H, W); uint8 unless ``unchanged`` keeps more bits.

    Raises:
        ValueError: If it cannot be decoded, or has too many pixels.
        ImportError: If neither OpenCV nor Pillow is installed.
    """
    _refuse_bomb(content, name)
    try:
        if opencv() is not None:
            picture = _by_opencv(content, color_type)
        else:
            picture = _by_pillow(content, color_type)
    except ImportError:
        raise
    except Exception as error:  # decoders may raise anything
        raise ValueError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from error
    if picture is None or not picture.size:
        raise ValueError(f"{name} cannot be decoded as a picture")
    return picture


def check_array(array: np.ndarray, facts: Metadata) -> np.ndarray:
    """Return an array if it can be the picture of a model.

    Raises:
        ValueError: If it cannot; the message says what an array is.
    """
    channels, plain = len(facts.channels), facts.color_type.startswith("color")
    found = array.shape[2] if array.ndim == 3 else 1 if array.ndim == 2 else None
    if plain and (array.dtype != np.uint8 or array.ndim != 3 or found != channels):
        raise ValueError(
            f"an array is (H, W, {channels}) of uint8 in {facts.channels} order, got "
            f"{array.dtype} of shape {array.shape}"
        )
    if found != channels:
        raise ValueError(f"the model takes {channels} channels, got a picture of {array.shape}")
    if not array.size:
        raise ValueError(f"an array of shape {array.shape} has no pixel")
    if array.dtype.kind not in "uif":
        raise ValueError(f"an array holds numbers, got {array.dtype}")
    return array


def _refuse_bomb(content: bytes, name: str) -> None:
    try:
        from PIL import Image
    except ImportError:
        return  # OpenCV has a limit of its own
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has too many pixels: {error}") from error
    except Exception:  # of a format that OpenCV may know
        return
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{name}: its header states {width} x {height} pixels, more than the {MOST_PIXELS:,} "
            "that are allowed"
        )


def _by_opencv(content: bytes, color_type: str) -> np.ndarray | None:
    import cv2

    flag = dict(
        color=cv2.IMREAD_COLOR,
        color_ignore_orientation=cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
        grayscale=cv2.IMREAD_GRAYSCALE,
        unchanged=cv2.IMREAD_UNCHANGED,
    )[color_type]
    return cv2.imdecode(np.frombuffer(content, np.uint8), flag)


def _by_pillow(content: bytes, color_type: str) -> np.ndarray:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(f"reading pictures takes Pillow or OpenCV: {EITHER}") from None
    with Image.open(io.BytesIO(content)) as picture:
        if color_type == "grayscale":
            picture.draft("L", None)  # a JPEG's own brightness, which OpenCV takes too
        turned: Pixels = picture
        if color_type in ("color", "grayscale"):
            turned = ImageOps.exif_transpose(picture)
        if color_type == "unchanged":
            return _bgr(np.asarray(_without_palette(turned)))
        mode = "L" if color_type == "grayscale" else "RGB"
        if turned.mode.startswith("I"):  # 16 bits, of which Pillow would clip the values
            values = (np.asarray(turned).astype(np.int64) >> 8).clip(0, 255)
            turned = Image.fromarray(values.astype(np.uint8))
        return _bgr(np.asarray(turned.convert(mode)))


def _without_palette(picture: Pixels) -> Pixels:
    if picture.mode in ("1", "L", "RGB", "RGBA") or picture.mode.startswith(("I", "F")):
        return picture
    return picture.convert("RGBA" if "transparency" in picture.info else "RGB")


def _bgr(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.ndim == 2:
        return pixels
    return np.ascontiguousarray(pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]])
