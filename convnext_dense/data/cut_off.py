"""Pictures whose file ends early, which some decoders fill up with grey and say nothing."""

from __future__ import annotations

import os
from pathlib import Path

_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


def refuse_cut_off(path: str | os.PathLike) -> None:
    """Refuse a JPEG that ends before its last pixel.

    OpenCV before 4.12 decodes it all the same; other formats it refuses itself. Nearly every JPEG
    ends with its end marker. Only one that does not, since it is cut off or other data follows, is
    decoded by PIL, which tells the two apart.

    Args:
        path: A picture of any format, which is there.

    Raises:
        ValueError: Where it is cut off.
    """
    with Path(path).open("rb") as file:
        if file.read(2) != _JPEG_BEGINS:
            return
        file.seek(-2, os.SEEK_END)
        if file.read() == _JPEG_ENDS:
            return
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        # Image.open has a limit of pixels, which these files of the user's own need not keep.
        with JpegImageFile(path) as picture:
            picture.load()
    except Exception as error:  # whatever the decoder raises
        raise ValueError(f"{path}: {str(error) or type(error).__name__}") from error
