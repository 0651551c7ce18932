"""A folder to write data sets into, and what a reader makes of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.source import Loss, Picture


@dataclass
class Read:
    """Everything that a source gave."""

    format: str
    classes: tuple[str, ...]
    pictures: dict[str, Picture]
    losses: list[Loss]
    objects: list = field(init=False)

    def __post_init__(self):
        self.objects = [one for picture in self.pictures.values() for one in picture.objects]

    @property
    def said(self) -> Counter:
        """How often each kind of loss occurred."""
        return Counter(loss.what for loss in self.losses)

    @property
    def lost(self) -> int:
        return sum(loss.objects for loss in self.losses)

    def splits(self) -> dict[str, str | None]:
        return {name: picture.split for name, picture in self.pictures.items()}


class Tree:
    """Writes the files of a data set below a folder."""

    def __init__(self, root: Path):
        self.root = root

    def picture(self, name, size=(40, 30), orientation=1, **kwargs):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind = "PNG" if path.suffix == ".png" else "JPEG"
        Image.new(kwargs.pop("mode", "RGB"), size).save(path, kind, exif=exif, **kwargs)
        return path

    def label_map(self, name, values, palette=True):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(values, np.uint8))
        if palette:
            image.putpalette([n for k in range(256) for n in (k, 255 - k, 7 * k % 256)])
        image.save(path)

    def text(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def json(self, name, content):
        return self.text(name, json.dumps(content))

    def read(self, at="", **kwargs) -> Read:
        source = open_source(self.root / at, **kwargs)
        pictures = list(source.pictures())
        names = [picture.name for picture in pictures]
        assert len(names) == len(set(names))
        for picture in pictures:
            for one in picture.objects:
                assert one.label in source.classes
                x1, y1, x2, y2 = one.box
                assert 0 <= x1 < x2 <= picture.width and 0 <= y1 < y2 <= picture.height
                for part in one.polygons:
                    assert part.ndim == 2 and part.dtype == np.float64 and len(part) > 2
                    assert part.min() >= 0 and (part <= (picture.width, picture.height)).all()
        losses = list(source.losses)
        again = [picture.name for picture in source.pictures()]
        assert again == names and source.losses == losses
        by_name = dict(zip(names, pictures, strict=True))
        return Read(source.format, source.classes, by_name, losses)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "set")
