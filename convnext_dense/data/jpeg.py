"""Find JPEGs that are cut off or hold zeroed bytes, which libjpeg decodes without a warning."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"
# Real content can be coded as many zero bits only if the code of zeros means "nothing more in this
# block". The tables tell its meaning.
_ZEROS = bytes(64)
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _TABLES, _PROGRESSIVE, _END = 0xDA, 0xC4, 0xC2, 0xD9


def refuse_cut_off(content: bytes, name: str) -> None:
    """Refuse a JPEG that ends before its last pixel.

    OpenCV before 4.12 decodes it without a warning; it refuses other formats that are cut off. A
    JPEG without the end marker at its end is cut off, or other data follows the picture. Only such
    a file is decoded by Pillow, which finds out.

    Args:
        content: A picture of any format.
        name: Name of the picture in the message.

    Raises:
        ValueError: If it is cut off.
    """
    if not content.startswith(_JPEG_BEGINS) or content.endswith(_JPEG_ENDS):
        return
    try:
        # Image.open has its own limit of pixels; the limit here was checked before.
        with JpegImageFile(io.BytesIO(content)) as picture:
            picture.load()
    except Exception as error:  # the decoder can raise anything
        raise ValueError(
            f"{name}: the picture is cut off ({str(error) or type(error).__name__}): get it or "
            "save it again"
        ) from error


def has_zeroed_bytes(content: bytes) -> bool:
    """Whether the coded pixels of a JPEG hold a run of zeros that no encoder writes.

    A damaged disk or a broken download leaves such zeros. libjpeg decodes them as other bits, and
    warns only if they change the number of blocks.
    """
    if _ZEROS not in content:
        return False
    return any(_ZEROS in scan for scan in _scans_without_zeros(content))


def _scans_without_zeros(content: bytes) -> Iterator[bytes]:
    """Yield the coded pixels of each scan in which a code of zeros does not end a block."""
    shortest: dict[int, int] = {}
    progressive, position = False, 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a filling byte
            position += 1
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        segment = content[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == _END:
            return
        if marker == _PROGRESSIVE:
            progressive = True
        elif marker == _TABLES:
            shortest |= _shortest_codes(segment)
        elif marker == _START_OF_SCAN:
            found = _SCAN_ENDS.search(content, position)
            start, position = position, found.start() if found else len(content)
            number = segment[0] if segment else 0
            tables = [
                0x10 | (segment[2 + 2 * i] & 15) for i in range(min(number, len(segment) // 2))
            ]
            # A scan with only the mean values of blocks codes those of a flat picture as zeros.
            means_alone = progressive and segment[1 + 2 * number : 2 + 2 * number] == b"\0"
            # The low 4 bits are the number of bits after a code: 0 for an end or a run of zeros.
            if not means_alone and any(shortest.get(table, 0) & 15 for table in tables):
                yield content[start:position]


def _shortest_codes(segment: bytes) -> dict[int, int]:
    """Return the symbol of the first code, which is all zeros, of each Huffman table."""
    found, position = {}, 0
    while position + 17 < len(segment):
        found[segment[position]] = segment[position + 17]
        position += 17 + sum(segment[position + 1 : position + 17])
    return found
