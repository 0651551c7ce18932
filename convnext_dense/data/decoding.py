"""Read the header of a picture, and decode it with attention to the decoder's warnings."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile

from convnext_dense.data.jpeg import has_zeroed_bytes, refuse_cut_off
from convnext_dense.text import printable

# First bytes of formats (JPEG, TIFF) in which decoders replace damaged parts and only warn on the
# error output.
_TALKATIVE = (b"\xff\xd8", b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
_JPEG = _TALKATIVE[0]
# Warnings of damage from libjpeg and OpenCV's TIFF decoder.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: .+|Premature end of JPEG file|(?<=TIFF_Error )(?:\w*Decode|TIFFFill).+"
)
_OF_DECODERS = re.compile(r"\[ ?(?:WARN|ERROR|INFO):|libpng|JPEG|TIFF|Invalid|Warning")
# More than 8 bits in Pillow's names of storage formats: RGB;16B, I;16, I;12, F;32F.
_WIDE = re.compile(r";(?:1[0-6]|32|64)")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 256, 257, 258
# A photograph with a preview or a depth map in the same file is one picture.
_ONE_PICTURE = ("MPO",)
# Two decoders at once would mix up their warnings.
_LISTENING = threading.Lock()
_OPENING = threading.Lock()

LIMIT_VARIABLE = "CONVNEXT_DENSE_MAX_PIXELS"
# Twice the number at which Pillow warns: half a gigabyte in colour.
_MOST_PIXELS = 178_956_970


@dataclass(frozen=True)
class Header:
    """The header of a picture.

    Attributes:
        size: (width, height) as stored.
        orientation: EXIF's orientation; 1 if the picture is stored as it is shown.
        bits: Bits of a value: 8, 16 or another number.
        mode: Pillow's mode, such as RGB.
        has_frames: Whether there are several pages or frames.
    """

    size: tuple[int, int]
    orientation: int
    bits: int
    mode: str
    has_frames: bool

    @property
    def shown_size(self) -> tuple[int, int]:
        """The (width, height) with the orientation applied."""
        return self.size[::-1] if self.orientation in (5, 6, 7, 8) else self.size


def read_header(content: bytes | str, name: str) -> Header | None:
    """Read the header of a picture, and refuse a picture with too many pixels.

    Args:
        content: The file's bytes, or its path.
        name: Name of the picture in messages.

    Returns:
        The header, or None if Pillow does not know the format, which another decoder may know.

    Raises:
        ValueError: If there are more than 178,956,970 pixels, or more than the environment variable
            ``CONVNEXT_DENSE_MAX_PIXELS`` allows.
        OSError: If the file does not exist or may not be read.
    """
    try:
        picture = _open(content)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception:  # Pillow's readers can raise anything for unknown bytes
        return None
    with picture:
        size = _stored_size(picture)
        _refuse_bomb(size, name)
        try:
            several = picture.format not in _ONE_PICTURE and getattr(picture, "is_animated", False)
            bits = _bits(picture)
            return Header(size, _orientation(picture), bits, picture.mode, bool(several))
        except Exception:  # the same
            return None


def decode(
    content: bytes, name: str, flag: str = "color", backend: str | None = None
) -> np.ndarray:
    """Decode a picture as mmcv does, and refuse a picture that the decoder finds damaged.

    libjpeg decodes damaged files and only warns. Pillow drops the warning, OpenCV writes it to the
    error output of the process, where this function reads it.

    Args:
        content: The file's bytes.
        name: Name of the picture in messages.
        flag: ``color_type`` of mmcv's LoadImageFromFile.
        backend: ``imdecode_backend`` of the same.

    Returns:
        (H, W) or (H, W, C).

    Raises:
        ValueError: If it is damaged, cut off, or of a format that the decoder does not know.
    """
    import mmcv

    refuse_cut_off(content, name)
    said = ""

    def read() -> np.ndarray | None:
        nonlocal said
        try:
            return mmcv.imfrombytes(content, flag=flag, backend=backend)
        except cv2.error as error:  # of an empty file
            if "Insufficient memory" in str(error):
                raise
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's
            said = " ".join(str(error).split())
        return None

    if not content.startswith(_TALKATIVE):
        image = read()
    elif backend in (None, "cv2"):
        image, said = listen(read)
    else:
        image = read()
        if image is not None and content.startswith(_JPEG):
            # OpenCV decodes all bytes again for its warnings, but computes few pixels.
            small = cv2.IMREAD_REDUCED_GRAYSCALE_8
            _, said = listen(lambda: cv2.imdecode(np.frombuffer(content, np.uint8), small))
    if content.startswith(_JPEG) and not said and has_zeroed_bytes(content):
        said = "a run of zeroed bytes"
    if said or image is None:
        raise ValueError(_problem(content, name, said))
    return image


def listen(decoder: Callable[[], np.ndarray | None]) -> tuple[np.ndarray | None, str]:
    """Call a decoder, and collect the warnings of damage that it writes to the error output.

    Other text that is written in the meantime is passed on. Only one thread at a time does this.

    Returns:
        The result of the decoder, and its first warning, empty for a whole picture.
    """
    with _LISTENING:
        try:
            error_output = os.dup(2)
        except OSError:  # there is none
            return decoder(), ""
        words = os.memfd_create("decoder")
        try:
            os.dup2(words, 2)
            try:
                image = decoder()
            finally:
                os.dup2(error_output, 2)
            written = os.pread(words, os.fstat(words).st_size, 0).decode(errors="replace")
        finally:
            os.close(words)
            os.close(error_output)
    lines = written.splitlines(keepends=True)
    damage = [found[0] for found in map(_DAMAGE.search, lines) if found]
    others = "".join(line for line in lines if not _DAMAGE.search(line))
    # Escape text of decoders, which may contain text from the file. Other text, such as a progress
    # bar of another thread, stays unchanged.
    others = printable(others, lines=True) if _OF_DECODERS.search(others) else others
    if others:
        os.write(2, others.encode())
    return image, damage[0] if damage else ""


@contextmanager
def any_size() -> Iterator[None]:
    """Switch off Pillow's own limit of pixels, for a picture whose header was checked before."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open(content: bytes | str) -> ImageFile.ImageFile:
    with any_size():
        return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)


def _problem(content: bytes, name: str, said: str) -> str:
    header = read_header(content, name)
    if header is None:
        return f"{name} cannot be decoded as a picture"
    if header.bits > 16 and not said:
        return (
            f"{name}: it holds values of {header.bits} bits, which only color_type='unchanged' "
            "reads"
        )
    if not said and _pillow_reads(content):
        return (
            f"{name}: OpenCV cannot decode it, but Pillow can: save it again, or for many such "
            "files set imdecode_backend='pillow' in LoadImageFromFile"
        )
    words = f" ({said})" if said else ""
    return f"{name}: the picture is damaged or cut off{words}: get it or save it again"


def _pillow_reads(content: bytes) -> bool:
    try:
        with _open(content) as picture:
            picture.load()
    except Exception:  # Pillow's decoders can raise anything
        return False
    return True


def _refuse_bomb(size: tuple[int, int], name: str) -> None:
    width, height = size
    given = os.environ.get(LIMIT_VARIABLE, "")
    if given and not given.isdecimal():
        raise ValueError(f"{LIMIT_VARIABLE} is a number of pixels, got {given!r}")
    most = int(given or _MOST_PIXELS)
    if width * height > most:
        raise ValueError(
            f"{name}: its header states {width} x {height} pixels, more than the {most:,} that "
            f"are allowed: remove it, cut it into tiles, or set {LIMIT_VARIABLE}"
        )


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """Return the size as stored; Pillow applies the orientation to the size of a TIFF."""
    tags = getattr(picture, "tag_v2", {})
    return tags.get(_TIFF_WIDTH, picture.width), tags.get(_TIFF_HEIGHT, picture.height)


def _orientation(picture: Image.Image) -> int:
    if picture.format == "AVIF":  # its decoders apply another field for the orientation
        return 1
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # Pillow would decode the pixels to look for EXIF after them
    found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def _bits(picture: ImageFile.ImageFile) -> int:
    """Return the bits of a value; 8 if Pillow does not tell."""
    tags = getattr(picture, "tag_v2", {}).get(_TIFF_BITS)
    if tags:
        return max(tags)
    if picture.mode == "F":
        return 32
    stored = picture.tile[0].args if picture.tile else ""
    if picture.mode.startswith("I") or _WIDE.search(str(stored)):
        return 16
    if picture.format == "PPM" and isinstance(stored, tuple) and stored[-1] > 255:
        return 16
    return 8
