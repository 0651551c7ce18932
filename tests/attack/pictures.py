"""Pictures: damaged, bombs, of every depth and number of channels, with pages, under odd names."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ground import Ground
from harness import Case, Outcome, check, run
from judges import refused, undisturbed
from PIL import Image

TITLE = "pictures"
RIGHT = (
    "`data.py check` and training give the same answer: sound pictures go through, damaged ones "
    "and bombs are refused by name, within 8 GB of memory. `infer.py` names what it cannot read, "
    "and the sound picture beside it gets its prediction."
)
SAMPLE = 4  # cases in make test
SIZE = 96
MEMORY = 8 * 2**30
SOUND, SPOILT, EITHER = "sound", "spoilt", "either"
NO_VALIDATION = ("val_cfg=None", "val_dataloader=None", "val_evaluator=None")


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all pictures."""
    listed = []
    for kind, (count, make, expected) in PICTURES.items():
        for nth in range(count):
            chance = random.Random(f"{seed} {kind} {nth}")
            attack = _picture(ground, make, expected, nth, chance)
            listed.append(Case(f"pictures/{kind}-{nth:02}", attack))
    for nth, name in enumerate(NAMES):
        attack = _picture(ground, lambda *_: _saved("JPEG"), SOUND, 0, random.Random(0), name)
        listed.append(Case(f"pictures/name-{nth:02}", attack))
    return listed


def _picture(
    ground: Ground,
    make: Callable[[int, random.Random], bytes | Callable[[Path], None]],
    expected: str,
    nth: int,
    chance: random.Random,
    name: str = "odd.jpg",
) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        root = folder / "data"
        shutil.copytree(ground.det_data, root)
        file = root / "train" / os.fsdecode(os.fsencode(name))
        made = make(nth, chance)
        made(file) if callable(made) else file.write_bytes(made)
        annotations = root / "annotations" / "instances_train.json"
        content = json.loads(annotations.read_text())
        content["images"][2]["file_name"] = name
        annotations.write_text(json.dumps(content))

        flags = [str(root) if f == str(ground.det_data) else f for f in ground.flags["det"]]
        options = ("--cfg-options", "train_cfg.max_epochs=1", *NO_VALIDATION)
        config = ground.configs["det"]
        start = ("--weights", "none", "--seed", 0, "--work-dir", folder / "w")
        checked = run("data", ["check", config, *flags], folder, prepare=_little_memory)
        trained = run("train", [config, *flags, *start, *options], folder, prepare=_little_memory)
        for outcome in (checked, trained):
            undisturbed(outcome)
            if expected == SOUND:
                check(outcome.status == 0, f"a sound picture is refused: {outcome}")
            elif expected == SPOILT:
                check(outcome.status == 1, f"a spoilt picture goes through: {outcome}")
                check(_named(name, outcome), f"the file is not named: {outcome}")
        if trained.status:
            refused(trained)
        same = bool(checked.status) == bool(trained.status)
        check(same, f"check and training do not agree: {checked}; {trained}")
        _predicts(ground, file, root / "train" / "000000.jpg", expected, folder)

    return attack


def _predicts(ground: Ground, odd: Path, sound: Path, expected: str, folder: Path) -> None:
    config = ground.runs["det"] / "tiny_det.py"
    out = folder / "found"
    # A name is given with its folder: by itself it could be a flag or a pattern.
    inputs = folder / "inputs"
    inputs.mkdir()
    shutil.copy(sound, inputs)
    odd_is_file = odd.is_file()
    odd.rename(inputs / odd.name)
    argv = [config, ground.last["det"], inputs, "-o", out, "--save", "pictures,json"]
    outcome = run("infer", argv, folder, prepare=_little_memory)
    undisturbed(outcome)
    found = [path.name for path in out.rglob("*") if path.is_file()]
    check(any(sound.stem in name for name in found), f"the sound picture is lost: {outcome}")
    if expected == SPOILT and odd_is_file:  # of a folder the files alone are taken
        check(outcome.status == 1, f"it does not tell: {outcome}")
        check(_named(odd.name, outcome), f"the file is not named: {outcome}")
    elif expected == SOUND:
        check(outcome.status == 0, f"a sound picture is refused: {outcome}")


def _named(name: str, outcome: Outcome) -> bool:
    # A terminal breaks lines where it likes.
    return "".join(name.split()) in "".join((outcome.err + outcome.out).split())


def _little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _array(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    small = rng.random((12, 12, channels)) * top
    array = small.repeat(8, 0).repeat(8, 1).astype(dtype)
    return array[..., 0] if channels == 1 else array


def _saved(form: str, image: Image.Image | None = None, **more: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(_array())).save(stream, form, **more)
    return stream.getvalue()


def _cut(form: str) -> Callable:
    def make(nth: int, chance: random.Random) -> bytes:
        content = _saved(form)
        edges = (0, 1, 4, 30)
        return content[: edges[nth] if nth < 4 else chance.randrange(40, len(content) - 40)]

    return make


def _cut_and_closed(nth: int, chance: random.Random) -> bytes:
    content = _saved("JPEG", quality=95)
    scan = content.index(b"\xff\xda")
    return content[: chance.randrange(scan + 50, len(content) * 3 // 4)] + b"\xff\xd9"


def _zeroed(nth: int, chance: random.Random) -> bytes:
    content = bytearray(_saved("JPEG", quality=95))
    begin = chance.randrange(content.index(b"\xff\xda") + 20, len(content) - 250)
    content[begin : begin + 200] = bytes(200)
    return bytes(content)


def _flipped(form: str) -> Callable:
    def make(nth: int, chance: random.Random) -> bytes:
        content = bytearray(_saved(form))
        for _ in range(chance.choice((1, 4, 16))):
            content[chance.randrange(30, len(content))] ^= 1 << chance.randrange(8)
        return bytes(content)

    return make


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _bomb(nth: int, chance: random.Random) -> bytes:
    if nth == 0:
        return png(100_000, 100_000, data=zlib.compress(bytes(10**6)))
    if nth == 1:
        return png(2**31 - 1, 2**31 - 1)
    if nth == 2:  # whole: 30,000 lines of zeros
        packer = zlib.compressobj(9)
        lines = b"".join(packer.compress(bytes(30_001)) for _ in range(30_000))
        return png(30_000, 30_000, colour=0, data=lines + packer.flush())
    if nth in (3, 4):
        content = bytearray(_saved("JPEG"))
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", 65_500, 65_500 if nth == 3 else 60_000)
        return bytes(content)
    if nth == 5:
        content = bytearray(_saved("BMP"))
        content[18:26] = struct.pack("<ii", 60_000, 60_000)
        return bytes(content)
    if nth == 6:
        content = bytearray(_saved("GIF"))
        content[6:10] = struct.pack("<HH", 65_535, 65_535)
        return bytes(content)
    return b"P6\n200000 200000\n255\n" + bytes(1000)


def _depths(nth: int, chance: random.Random) -> bytes:
    grey = Image.fromarray(_array(1))
    wide = Image.fromarray(_array(1, np.uint16))
    return (
        lambda: _saved("PNG", grey.convert("1")),
        lambda: _saved("PNG", grey.convert("P"), bits=2),
        lambda: _saved("PNG", grey.convert("P"), bits=4),
        lambda: _saved("PNG", wide),
        lambda: _saved("TIFF", wide),
        lambda: _saved("TIFF", Image.fromarray(_array(1, np.float32))),
        lambda: _saved("TIFF", Image.fromarray(_array(1, np.int32))),
        lambda: png(SIZE, SIZE, 16, 2, zlib.compress((b"\0" + bytes(range(96)) * 6) * SIZE)),
    )[nth]()


def _channels(nth: int, chance: random.Random) -> bytes:
    colour = Image.fromarray(_array())
    forms = [("L", "JPEG"), ("LA", "PNG"), ("P", "GIF"), ("P", "PNG"), ("RGBA", "PNG")]
    forms += [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("L", "BMP")]
    mode, form = forms[nth]
    return _saved(form, colour.convert(mode))


def _pages(nth: int, chance: random.Random) -> bytes:
    form = ("TIFF", "GIF", "PNG", "WEBP", "MPO")[nth]
    others = [Image.fromarray(255 - _array()) for _ in range(2)]
    return _saved(form, save_all=True, append_images=others)


def _exif(nth: int, chance: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = (1, 2, 3, 4, 5, 6, 7, 8, 0, 9)[nth] if nth < 10 else 1
    content = exif.tobytes()
    return _saved("JPEG", exif=content[: len(content) // 2] if nth == 10 else content)


def _sound(nth: int, chance: random.Random) -> bytes:
    return (
        lambda: _saved("PNG"),  # under another ending
        lambda: _saved("JPEG", progressive=True),
        lambda: _saved("JPEG", comment=b"\x1b[31m" + b"x" * 60_000),
        lambda: _saved("WEBP", lossless=True),
        lambda: _saved("JPEG", icc_profile=b"broken"),
        lambda: _saved("BMP"),
    )[nth]()


def _no_pictures(nth: int, chance: random.Random) -> bytes | Callable[[Path], None]:
    return (
        b"<html><body>Not found</body></html>",
        b"text\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96"/>',
        b"%PDF-1.4\n%%EOF\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 96\n(x) run\n",
        bytes(5000),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("nowhere"),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/dev/zero"),
    )[nth]


# How many, how made, and what is expected.
PICTURES: dict[str, tuple[int, Callable, str]] = {
    "cut-jpeg": (8, _cut("JPEG"), SPOILT),
    "cut-png": (6, _cut("PNG"), SPOILT),
    "cut-and-closed": (5, _cut_and_closed, SPOILT),
    "zeroed": (5, _zeroed, SPOILT),
    "flipped-jpeg": (5, _flipped("JPEG"), EITHER),
    "flipped-png": (5, _flipped("PNG"), EITHER),
    "bomb": (8, _bomb, SPOILT),
    "depth": (8, _depths, EITHER),
    "channels": (10, _channels, EITHER),
    "pages": (5, _pages, EITHER),
    "exif": (11, _exif, EITHER),
    "sound": (6, _sound, SOUND),
    "no-picture": (11, _no_pictures, SPOILT),
}
NAMES = (
    "sp ace.jpg",
    "-o.jpg",
    "[a]*.jpg",
    "$(touch PWNED).jpg",
    "ein é.jpg",
    "ein e\u0301.jpg",
    "x" * 240 + ".jpg",
    "quote'\".jpg",
    "=1+2.jpg",
    "%s%n{0}.jpg",
)
