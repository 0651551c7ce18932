"""Pictures by their bytes: what their headers say, and whether the decoder finds them whole."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from convnext_dense.data.decoding import LIMIT_VARIABLE, decode, listen, read_header

BACKENDS = ("cv2", "pillow")


def photograph(seed: int = 0) -> Image.Image:
    """A picture that compresses as photographs do: noise, smoothed."""
    noise = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)
    return Image.fromarray(cv2.GaussianBlur(noise, (0, 0), 2) * 2)


def saved(picture, kind="JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def cut_and_closed(content: bytes) -> bytes:
    return cut(content) + b"\xff\xd9"


def zeroed(content: bytes, at: float = 0.5) -> bytes:
    start = int(len(content) * at)
    return content[:start] + bytes(200) + content[start + 200 :]


JPEGS = dict(
    baseline={},
    progressive=dict(progressive=True),
    optimised=dict(optimize=True),
    restarting=dict(restart_marker_rows=1),
    fine=dict(quality=98, subsampling=0),
)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_jpegs_that_are_damaged(options, backend, capfd):
    whole = saved(photograph(), **options)
    assert decode(whole, "a.jpg", backend=backend).shape == (96, 128, 3)
    for damage in (cut, cut_and_closed, zeroed):
        with pytest.raises(ValueError, match=r"a\.jpg: the picture is (damaged or )?cut off"):
            decode(damage(whole), "a.jpg", backend=backend)
    assert "JPEG" not in capfd.readouterr().err  # said once, by the error


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", dict(compression="tiff_lzw")),
        ("TIFF", dict(compression="tiff_adobe_deflate")),
    ],
)
def test_other_formats_that_are_cut_off(kind, options):
    whole = saved(photograph(), kind, **options)
    assert decode(whole, "a").shape == (96, 128, 3)
    with pytest.raises(
        ValueError,
        match=r"^a(: the picture is damaged|: .*cut off| cannot be decoded as a picture)",
    ):
        decode(cut(whole), "a")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_png_with_zeroed_bytes(backend):
    with pytest.raises(
        ValueError, match=r"^a(: the picture is damaged or cut off| cannot be decoded as a picture)"
    ):
        decode(zeroed(saved(photograph(), "PNG")), "a", backend=backend)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"no picture", b"\x89PNG\r\n\x1a\n", b"II*\0"]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_no_picture(content, backend):
    with pytest.raises(
        ValueError, match=r"^a.jpg( cannot be decoded as a picture|: the picture is cut off)"
    ):
        decode(content, "a.jpg", backend=backend)


def test_a_whole_picture_that_opencv_does_not_read(monkeypatch):
    content = saved(photograph(), "PNG")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    with pytest.raises(ValueError, match=r"a\.png: OpenCV cannot decode it, but Pillow can"):
        decode(content, "a.png")
    assert decode(content, "a.png", backend="pillow").shape == (96, 128, 3)


def test_what_others_write_meanwhile_is_passed_on(capfd):
    def decoder():
        os.write(2, b"Corrupt JPEG data: premature end of data segment\nanother thread's words\n")

    _, said = listen(decoder)
    assert said == "Corrupt JPEG data: premature end of data segment"
    assert capfd.readouterr().err == "another thread's words\n"


def test_a_progress_bar_of_another_thread_stays_as_it_is(capfd):
    listen(lambda: os.write(2, b"\x1b[2K50 %\r"))
    assert capfd.readouterr().err == "\x1b[2K50 %\r"
    listen(lambda: os.write(2, b"[ WARN:0] TIFF_Warning \x1b[31m\n"))
    assert capfd.readouterr().err == "[ WARN:0] TIFF_Warning \\x1b[31m\n"


def test_threads_hear_their_own_decoder_alone():
    whole = [saved(photograph(seed)) for seed in range(2)]
    contents = [whole[0], cut_and_closed(whole[1])] * 20
    heard = [None] * len(contents)

    def hear(index):
        try:
            decode(contents[index], "a.jpg")
            heard[index] = "whole"
        except ValueError:
            heard[index] = "damaged"

    threads = [threading.Thread(target=hear, args=(i,)) for i in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == ["whole", "damaged"] * 20


def test_without_an_error_output_pictures_are_decoded_all_the_same(monkeypatch):
    def closed(_):
        raise OSError("bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    assert decode(saved(photograph()), "a.jpg").shape == (96, 128, 3)


def png(width: int, height: int) -> bytes:
    """A PNG of few bytes that promises what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 1), (15_000, 15_000)])
def test_a_decompression_bomb_is_refused_by_its_header(size, tmp_path):
    width, height = size
    message = f"a.png: its header states {width} x {height} pixels"
    with pytest.raises(ValueError, match=message):
        read_header(png(*size), "a.png")
    path = tmp_path / "a.png"
    path.write_bytes(png(*size))
    with pytest.raises(ValueError, match=message):
        read_header(str(path), "a.png")


def test_the_limit_of_pixels_can_be_set(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # which is not asked
    content = saved(photograph(), "PNG")
    assert read_header(content, "a.png").size == (128, 96)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setenv(LIMIT_VARIABLE, str(128 * 96))
    assert read_header(content, "a.png").size == (128, 96)
    monkeypatch.setenv(LIMIT_VARIABLE, str(128 * 96 - 1))
    with pytest.raises(ValueError, match=LIMIT_VARIABLE):
        read_header(content, "a.png")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_bits(suffix, channels, dtype, bits):
    pixels = np.zeros((4, 6, channels), dtype)
    content = cv2.imencode(suffix, pixels)[1].tobytes()
    assert read_header(content, "a").bits == bits


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "GIF", "WEBP"])
def test_frames(kind):
    grey = [Image.new("L", (6, 4), value) for value in (9, 200)]
    assert not read_header(saved(grey[0], kind), "a").has_frames
    assert read_header(saved(grey[0], kind, save_all=True, append_images=grey[1:]), "a").has_frames


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = saved(Image.new("RGB", (60, 40)), kind, exif=exif)
    header = read_header(content, "a")
    assert (header.size, header.orientation) == ((60, 40), orientation)
    assert header.shown_size == decode(content, "a").shape[1::-1]


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("blur", [0, 1, 4])
def test_zeroed_bytes_are_seen_wherever_they_are(options, blur):
    """libjpeg alone misses up to a third of these, where as many blocks come out of the zeros."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (256, 256, 3), np.uint8)
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur) if blur else pixels
        whole = saved(Image.fromarray(pixels), **options)
        decode(whole, "a.jpg")
        with pytest.raises(ValueError, match=r"a\.jpg: the picture is (damaged|cut off)"):
            decode(zeroed(whole, rng.uniform(0.3, 0.8)), "a.jpg")


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures_are_whole(options, value):
    flat = np.full((1024, 1024, 3), value, np.uint8)
    decode(saved(Image.fromarray(flat), **options), "a.jpg")
    flat[:16] = np.random.default_rng(0).integers(0, 256, (16, 1024, 3))
    decode(saved(Image.fromarray(flat), **options), "a.jpg")


def test_zeros_beside_the_pixels_are_no_damage():
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "\0" * 500
    decode(saved(photograph(), exif=exif, comment=bytes(500)), "a.jpg")
