"""Spoilt label files: what can be read is read, the rest is counted or refused in one line."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.grouping import decode

SEEDS = 60
CVAT = """<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label>
</labels></task></meta><image id="0" name="p.jpg" width="40" height="30" subset="Train">
<box label="cat" xtl="1" ytl="2" xbr="11" ybr="12" rotation="3"><attribute name="a">b
</attribute></box><polygon label="cat" points="1,2;11,2;6,9" group_id="1"/>
<ellipse label="cat" cx="20" cy="15" rx="8"
ry="4"/><mask label="cat" rle="1, 2, 3" left="10" top="5" width="3" height="2" group_id="1"/>
</image></annotations>"""
VOC = """<annotation><filename>p.jpg</filename><size><width>40</width><height>30</height></size>
<object><name>cat</name><difficult>1</difficult><polygon><x1>3</x1><y1>3</y1><x2>9</x2><y2>3</y2>
<x3>9</x3><y3>8</y3></polygon><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax>
</bndbox></object></annotation>"""
COCO = dict(
    images=[dict(id=1, file_name="p.jpg", width=40, height=30)],
    categories=[dict(id=1, name="cat")],
    annotations=[
        dict(id=n, image_id=1, category_id=1, bbox=[1, 2, 10, 5], iscrowd=0, segmentation=outline)
        for n, outline in enumerate(
            ([[5, 5, 15, 5, 15, 15]], dict(size=[30, 40], counts=[100, 10, 1090]))
        )
    ],
)
FILES = {
    "yolo": {
        "data.yaml": "path: .\ntrain: images\nval: [images]\nnames:\n  0: a\n  1: b\n",
        "p.txt": "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.9 0.1 0.5 0.9\n0 0.5 0.5 0.2 0.2 0.4 0.4 2\n",
    },
    "voc": {"p.xml": VOC, "ImageSets/Main/train.txt": "p\n"},
    "labelme": {"p.json": (Path(__file__).parent / "written/labelme_6.3.1.json").read_text()},
    "cvat": {"a.xml": CVAT},
    "coco": {"a.json": json.dumps(COCO)},
}
WORDS = ["null", "[]", "{}", "-1", "1e999", "NaN", '"x"', "..", "\\", "<", ">", '"', ",", ":", "\n"]
WORDS += ["\0", "\ufffd", "9" * 21, "[[1]]", "!!python/object:os.system", "&a *a", "é"]


def spoil(rng, text):
    for _ in range(rng.randint(1, 4)):
        values = list(re.finditer(r'-?[\d.]+|"[^"]*"|\w+', text))
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 4, 40]))
        if values and rng.random() < 0.5:
            start, end = rng.choice(values).span()
        text = text[:start] + rng.choice([*WORDS, ""]) + text[end:]
    return text


@pytest.mark.slow
@pytest.mark.parametrize("format", FILES)
def test_spoilt_files(tmp_path, format):
    Image.new("RGB", (40, 30)).save(tmp_path / "p.jpg")
    for seed in range(SEEDS):
        rng = random.Random(f"{format} {seed}")
        chosen = rng.choice(list(FILES[format]))
        for name, text in FILES[format].items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(spoil(rng, text) if name == chosen else text)
        try:
            source = open_source(tmp_path, format)
            for picture in source.pictures():
                assert not picture.content or picture.content()
                for one in picture.objects:
                    x1, y1, x2, y2 = one.box
                    assert one.label in source.classes
                    assert 0 <= x1 < x2 <= picture.width and 0 <= y1 < y2 <= picture.height
                    assert one.rle is None or decode(one.rle).any()
        except (ValueError, OSError) as error:
            assert "\n" not in str(error) and str(tmp_path) in str(error)
