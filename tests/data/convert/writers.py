"""Write COCO's records in the formats of other tools, after their documented schemas."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np


def points_of(annotation: dict) -> np.ndarray:
    return np.reshape(annotation["segmentation"][0], (-1, 2))


class Writer:
    """Writes pictures with their annotations, one after the other."""

    def __init__(self, root: Path, classes: list[str]):
        self.root, self.classes = root, classes

    def text(self, name: str, content: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def copy(self, file: Path, name: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path)

    def add(self, file: Path, image: dict, annotations: list[dict], split: str) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        pass


class Yolo(Writer):
    """https://docs.ultralytics.com/datasets/segment/"""

    def add(self, file, image, annotations, split):
        self.copy(file, f"images/{split}/{file.name}")
        lines = []
        for one in annotations:
            shares = points_of(one) / (image["width"], image["height"])
            numbers = " ".join(f"{value:.6f}" for value in shares.ravel())
            lines.append(f"{one['category_id'] - 1} {numbers}\n")
        self.text(f"labels/{split}/{file.stem}.txt", "".join(lines))

    def finish(self):
        names = "".join(f"  {i}: {name}\n" for i, name in enumerate(self.classes))
        self.text("data.yaml", f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}")


class Voc(Writer):
    """http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf: pixels count from 1"""

    def __init__(self, root, classes):
        super().__init__(root, classes)
        self.splits: dict[str, list[str]] = {}

    def add(self, file, image, annotations, split):
        self.copy(file, f"JPEGImages/{file.name}")
        self.splits.setdefault(split, []).append(file.stem)
        objects = []
        for one in annotations:
            x, y, w, h = one["bbox"]
            edges = dict(xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
            box = "".join(f"<{tag}>{round(edge)}</{tag}>" for tag, edge in edges.items())
            objects.append(
                f"<object><name>{escape(self.classes[one['category_id'] - 1])}</name>"
                f"<difficult>0</difficult><bndbox>{box}</bndbox></object>"
            )
        self.text(
            f"Annotations/{file.stem}.xml",
            f"<annotation><folder>JPEGImages</folder><filename>{escape(file.name)}</filename>"
            f"<size><width>{image['width']}</width><height>{image['height']}</height>"
            f"<depth>3</depth></size>{''.join(objects)}</annotation>",
        )

    def finish(self):
        for split, names in self.splits.items():
            self.text(f"ImageSets/Main/{split}.txt", "".join(f"{name}\n" for name in names))


class LabelMe(Writer):
    """https://github.com/wkentaro/labelme: one JSON file beside each picture"""

    def add(self, file, image, annotations, split):
        self.copy(file, f"{split}/{file.name}")
        shapes = [
            dict(
                label=self.classes[one["category_id"] - 1],
                points=points_of(one).tolist(),
                group_id=None,
                shape_type="polygon",
                flags={},
            )
            for one in annotations
        ]
        content = dict(
            version="5.4.1",
            flags={},
            shapes=shapes,
            imagePath=file.name,
            imageData=None,
            imageHeight=image["height"],
            imageWidth=image["width"],
        )
        self.text(f"{split}/{file.stem}.json", json.dumps(content))


class Cvat(Writer):
    """https://docs.cvat.ai: CVAT for images 1.1"""

    def __init__(self, root, classes):
        super().__init__(root, classes)
        self.images: list[str] = []

    def add(self, file, image, annotations, split):
        self.copy(file, f"images/{file.name}")
        shapes = []
        for one in annotations:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in points_of(one))
            label = quoteattr(self.classes[one["category_id"] - 1])
            shapes.append(
                f'<polygon label={label} source="manual" occluded="0" points="{points}" '
                'z_order="0"></polygon>'
            )
        self.images.append(
            f'<image id="{len(self.images)}" name={quoteattr(file.name)} subset="{split}" '
            f'width="{image["width"]}" height="{image["height"]}">{"".join(shapes)}</image>'
        )

    def finish(self):
        labels = "".join(f"<label><name>{escape(name)}</name></label>" for name in self.classes)
        self.text(
            "annotations.xml",
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
            f"<meta><task><labels>{labels}</labels></task></meta>{''.join(self.images)}"
            "</annotations>",
        )


WRITERS = {"yolo": Yolo, "voc": Voc, "labelme": LabelMe, "cvat": Cvat}


def write_as(format: str, coco: Path, root: Path, *, limit: int | None = None) -> list[dict]:
    """Write a data set in COCO's layout in another format.

    Args:
        format: A key of :data:`WRITERS`.
        coco: Its folder.
        root: The new folder.
        limit: Pictures of each split.

    Returns:
        The annotations that were written, with the picture's name as ``file``.
    """
    written: list[dict] = []
    writer = None
    for split in ("train", "val"):
        content = json.loads((coco / "annotations" / f"instances_{split}.json").read_text())
        names = [category["name"] for category in content["categories"]]
        order = {category["id"]: i for i, category in enumerate(content["categories"], 1)}
        writer = writer or WRITERS[format](root, names)
        for image in content["images"][:limit]:
            own = [
                one | dict(category_id=order[one["category_id"]], file=image["file_name"])
                for one in content["annotations"]
                if one["image_id"] == image["id"]
            ]
            writer.add(coco / split / image["file_name"], image, own, split)
            written += own
    writer.finish()
    return written
