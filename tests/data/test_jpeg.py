"""Pictures whose file ends early."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.jpeg import refuse_cut_off


@pytest.fixture
def save(tmp_path):
    """Save a picture of noise, with a preview in its EXIF that is a JPEG of its own."""

    def save(name="a.jpg", **options):
        pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).resize((16, 12)).save(tmp_path / "preview.jpg")
        preview = (tmp_path / "preview.jpg").read_bytes()
        # A comment is skipped by its length, as EXIF is.
        options |= dict(comment=preview) if name.endswith(".jpg") else {}
        Image.fromarray(pixels).save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.99])
def test_a_jpeg_that_is_cut_off(save, part, progressive):
    path = save(progressive=progressive)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=r"a\.jpg: \S"):
        refuse_cut_off(path.read_bytes(), str(path))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("after", [b"", b"\0\0\0", b"what a camera writes behind it"])
def test_a_jpeg_that_is_whole(save, after, progressive, monkeypatch):
    path = save(progressive=progressive)
    path.write_bytes(path.read_bytes() + after)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # which is not about these
    refuse_cut_off(path.read_bytes(), str(path))


@pytest.mark.parametrize("content", [b"", b"\xff", b"text"])
def test_what_is_no_jpeg_is_left_to_its_decoder(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    refuse_cut_off(path.read_bytes(), str(path))


def test_two_bytes_are_no_picture(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8")
    with pytest.raises(ValueError, match=r"a\.jpg: \S"):
        refuse_cut_off(path.read_bytes(), str(path))
