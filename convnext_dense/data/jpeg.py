"""Find JPEGs that are cut off or hold zeroed bytes, which libjpeg decodes without a warning."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"
# Zero bits stand for real content only where the shortest code says "nothing more in this block",
# which is looked for in the tables.
_ZEROS = bytes(64)
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _TABLES, _PROGRESSIVE, _END = 0xDA, 0xC4, 0xC2, 0xD9


def refuse_cut_off(content: bytes, name: str) -> None:
    """Refuse a JPEG that ends before its last pixel.

    OpenCV before 4.12 decodes it all the same, without a warning; other formats it refuses itself.
    Nearly every JPEG ends with its end marker. Only one that does not, since it is cut off or other
    data follows, is decoded by Pillow, which tells the two apart.

    Args:
        content: Of a picture of any format.
        name: Of the picture, for the message.

    Raises:
        ValueError: Where it is cut off.
    """
    if not content.startswith(_JPEG_BEGINS) or content.endswith(_JPEG_ENDS):
        return
    try:
        # Image.open has a limit of pixels, which these files of the user's own need not keep.
        with JpegImageFile(io.BytesIO(content)) as picture:
            picture.load()
    except Exception as error:  # whatever the decoder raises
        raise ValueError(
            f"{name}: the picture is cut off ({str(error) or type(error).__name__}): fetch or save "
            "it anew"
        ) from error


def has_zeroed_bytes(content: bytes) -> bool:
    """Whether the pixels of a JPEG hold a run of zeros that no encoder writes.

    Args:
        content: Of the file.
    """
    if _ZEROS not in content:
        return False
    return any(_ZEROS in scan for scan in _scans_without_zeros(content))


def _scans_without_zeros(content: bytes) -> Iterator[bytes]:
    """Yield the coded pixels of each scan whose tables give zeros another meaning than an end."""
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
            # The mean values of a flat picture are coded as zeros where they are alone in a scan.
            means_alone = progressive and segment[1 + 2 * number : 2 + 2 * number] == b"\0"
            # The low half is the size of what follows a code: 0 for an end or a run of zeros.
            if not means_alone and any(shortest.get(table, 0) & 15 for table in tables):
                yield content[start:position]


def _shortest_codes(segment: bytes) -> dict[int, int]:
    """Return the symbol of each Huffman table's first code, which is all zeros, by the table."""
    found, position = {}, 0
    while position + 17 < len(segment):
        found[segment[position]] = segment[position + 17]
        position += 17 + sum(segment[position + 1 : position + 17])
    return found
