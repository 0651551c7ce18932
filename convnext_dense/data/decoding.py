"""A picture's header and its pixels, and what the decoder says of them."""

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

# Decoders fill these up where bytes are damaged, and say so on the error output alone.
_TALKATIVE = (b"\xff\xd8", b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
_JPEG = _TALKATIVE[0]
# As libjpeg and OpenCV's TIFF decoder write it.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: .+|Premature end of JPEG file|(?<=TIFF_Error )(?:\w*Decode|TIFFFill).+"
)
_OF_DECODERS = re.compile(r"\[ ?(?:WARN|ERROR|INFO):|libpng|JPEG|TIFF|Invalid|Warning")
# Of Pillow's names for how values are stored: RGB;16B, I;16, I;12, F;32F.
_WIDE = re.compile(r";(?:1[0-6]|32|64)")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 256, 257, 258
# A photograph with a preview or a depth map behind it is one picture.
_ONE_PICTURE = ("MPO",)
# Two decoders at once would read each other's words.
_LISTENING = threading.Lock()
_OPENING = threading.Lock()

LIMIT_VARIABLE = "CONVNEXT_DENSE_MAX_PIXELS"
# Twice that of which Pillow warns: half a gigabyte in colour.
_MOST_PIXELS = 178_956_970


@dataclass(frozen=True)
class Header:
    """What a picture's header says.

    Attributes:
        size: (width, height) as stored.
        orientation: EXIF's: 1 where the picture is stored as it is shown.
        bits: Of a value: 8, 16 or another number.
        mode: Pillow's, such as RGB.
        has_frames: Whether there are several pages or frames.
    """

    size: tuple[int, int]
    orientation: int
    bits: int
    mode: str
    has_frames: bool

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) with the orientation applied."""
        return self.size[::-1] if self.orientation in (5, 6, 7, 8) else self.size


def read_header(content: bytes | str, name: str) -> Header | None:
    """Read the header of a picture, and refuse one that promises too many pixels.

    Args:
        content: The file's bytes, or its path.
        name: Of the picture, for messages.

    Returns:
        The header, or None where Pillow does not know the format; another decoder may.

    Raises:
        ValueError: Where it promises more pixels than are decoded: 178,956,970, or what the
            environment's ``CONVNEXT_DENSE_MAX_PIXELS`` says.
        OSError: Where there is no such file, or it may not be read.
    """
    try:
        picture = _open(content)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception:  # whatever Pillow's readers raise for bytes that they do not know
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
    """Decode a picture as mmcv does, and refuse one that the decoder finds damaged.

    libjpeg decodes whatever it is given and only warns; OpenCV passes the warning on to the
    process's error output, Pillow drops it. So OpenCV is listened to.

    Args:
        content: The file's bytes.
        name: Of the picture, for messages.
        flag: ``color_type`` of mmcv's LoadImageFromFile.
        backend: ``imdecode_backend`` of the same.

    Returns:
        (H, W) or (H, W, C).

    Raises:
        ValueError: Where it is damaged, cut off, or of no format that the decoder knows.
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
            # All of the bytes are decoded, but few of the pixels computed.
            small = cv2.IMREAD_REDUCED_GRAYSCALE_8
            _, said = listen(lambda: cv2.imdecode(np.frombuffer(content, np.uint8), small))
    if content.startswith(_JPEG) and not said and has_zeroed_bytes(content):
        said = "a run of zeroed bytes"
    if said or image is None:
        raise ValueError(_problem(content, name, said))
    return image


def listen(decoder: Callable[[], np.ndarray | None]) -> tuple[np.ndarray | None, str]:
    """Call a decoder, and collect what it writes of damage to the process's error output.

    Whatever else is written meanwhile is passed on. One thread at a time listens.

    Returns:
        What the decoder gives, and its words, empty for a whole picture.
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
    # A decoder may repeat what a file says; a progress bar of another thread must stay as it is.
    others = printable(others, lines=True) if _OF_DECODERS.search(others) else others
    if others:
        os.write(2, others.encode())
    return image, damage[0] if damage else ""


@contextmanager
def any_size() -> Iterator[None]:
    """Lift Pillow's own limit of pixels, for a picture whose header was read before."""
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
        return f"{name} is no picture that can be decoded"
    if header.bits > 16 and not said:
        return (
            f"{name}: it holds values of {header.bits} bits, which color_type='unchanged' alone "
            "reads"
        )
    if not said and _pillow_reads(content):
        return (
            f"{name}: OpenCV does not decode it, Pillow does: save it anew, or where many are of "
            "its kind set imdecode_backend='pillow' in LoadImageFromFile"
        )
    words = f" ({said})" if said else ""
    return f"{name}: the picture is damaged or cut off{words}: fetch or save it anew"


def _pillow_reads(content: bytes) -> bool:
    try:
        with _open(content) as picture:
            picture.load()
    except Exception:  # whatever its decoders raise
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
            f"{name}: its header promises {width} x {height} pixels, more than the {most:,} that "
            f"are decoded: take it out, cut it into tiles, or set {LIMIT_VARIABLE}"
        )


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """Return the size without the orientation, which Pillow applies to that of a TIFF."""
    tags = getattr(picture, "tag_v2", {})
    return tags.get(_TIFF_WIDTH, picture.width), tags.get(_TIFF_HEIGHT, picture.height)


def _orientation(picture: Image.Image) -> int:
    if picture.format == "AVIF":  # which decoders turn by a field of its own
        return 1
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # Pillow would decode it to look behind the pixels
    found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def _bits(picture: ImageFile.ImageFile) -> int:
    """Return the bits of a value; those that Pillow does not say are taken for 8."""
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
