"""JPEGs that end early, which some decoders fill up with grey and say nothing."""

from __future__ import annotations

import io

from PIL.JpegImagePlugin import JpegImageFile

_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


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
