"""Files become the pixels that the toolkit's loader returns, by OpenCV and by Pillow."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from convnext_dense_runtime.pictures import read_picture


def write(path, kind, noise):
    """Write a picture of a kind; return how far Pillow's pixels may be from OpenCV's."""
    smooth = cv2.resize(noise(6, 8, 3), (80, 60))
    picture = Image.fromarray(smooth)
    if kind == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)
    elif kind == "gray.png":
        picture.convert("L").save(path)
    elif kind == "palette.png":
        picture.quantize(30).save(path)
    elif kind == "alpha.png":
        picture.putalpha(picture.convert("L"))
        picture.save(path)
    elif kind == "bits.png":
        picture.convert("1").save(path)
    elif kind == "deep_gray.png":
        Image.fromarray(smooth[..., 0].astype(np.uint16) * 257 + 3).save(path)
    elif kind == "deep_colour.png":
        cv2.imwrite(str(path), smooth.astype(np.uint16) * 256 + 7)
    elif kind == "print.jpg":
        picture.convert("CMYK").save(path)
        return 2
    else:
        picture.save(path)
    return 0


@pytest.mark.parametrize(
    "kind",
    [
        "plain.jpg",
        "turned.jpg",
        "print.jpg",
        "plain.png",
        "gray.png",
        "palette.png",
        "alpha.png",
        "bits.png",
        "deep_gray.png",
        "deep_colour.png",
        "plain.bmp",
        "plain.webp",
    ],
)
@pytest.mark.parametrize(
    "color_type", ["color", "color_ignore_orientation", "grayscale", "unchanged"]
)
def test_pixels_are_those_of_the_loader(tmp_path, kind, color_type, noise, without_opencv):
    path = tmp_path / kind
    off = write(path, kind, noise)
    wanted = mmcv.imread(path, color_type)
    if color_type == "unchanged" and kind in ("print.jpg", "deep_colour.png"):
        pytest.skip("Pillow converts it")
    assert (read_picture(path, color_type) == wanted).all()
    without_opencv()
    read = read_picture(path, color_type)
    assert (read.shape, read.dtype) == (wanted.shape, wanted.dtype)
    if color_type == "grayscale":
        off += 2  # the weights of the colours are rounded in another way
    assert abs(read.astype(int) - wanted).max() <= off


@pytest.mark.parametrize("with_opencv", [True, False])
def test_refused_files(tmp_path, with_opencv, without_opencv, noise):
    Image.fromarray(noise(50, 50, 3)).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    files = {"empty.png": b"", "text.jpg": b"hello", "cut.jpg": content[:700]}
    for name, some in files.items():
        (tmp_path / name).write_bytes(some)
    if not with_opencv:
        without_opencv()
    for name in ("empty.png", "text.jpg"):
        with pytest.raises(ValueError, match=rf"{name} cannot be decoded[^\n]*$"):
            read_picture(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no picture gone"):
        read_picture("gone.jpg")
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        read_picture(tmp_path)
    with pytest.raises(ValueError, match=r"http://x/a.jpg is an address: give a file"):
        read_picture("http://x/a.jpg")


@pytest.mark.slow
def test_a_header_of_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (20000, 18000)).save(tmp_path / "bomb", "png")
    with pytest.raises(ValueError, match="bomb has too many pixels"):
        read_picture(tmp_path / "bomb")


def test_neither_opencv_nor_pillow(tmp_path, without_opencv, monkeypatch, noise):
    import sys

    Image.fromarray(noise(5, 5, 3)).save(tmp_path / "a.png")
    without_opencv()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'convnext-dense-runtime\[pictures\]'"):
        read_picture(tmp_path / "a.png")
