"""Read COCO: JSON files with images, categories and annotations, several of them as one.

Polygons, run lengths and crowds stay as they are. A picture that stands in several files has the
objects of all of them, each once.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from convnext_dense.data.formats.geometry import Box, box_polygon, extent
from convnext_dense.data.formats.grouping import ShapeError, rle_box
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.reader import Reader, stated_size
from convnext_dense.data.formats.source import Object, Picture
from convnext_dense.data.formats.splits import split_in, split_of
from convnext_dense.data.formats.text_files import kind_of, read_json
from convnext_dense.data.rules.run_lengths import counts_fill_masks, rle_problem

LOOKED_FOR = "COCO's .json files with images, categories and annotations"
# COCO's other files about the same pictures as its instances_*.json.
_INSTANCES = "instances_"
_OTHERS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_NOT_COCO = "it is not in COCO's format: it wants the lists images, categories and annotations"


@dataclass
class _Image:
    """An image, with what all files say about it."""

    stated: tuple[int, int] | None
    split: str | None
    annotations: list[tuple[dict, str, str]] = field(default_factory=list)


def recognise(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    return listing.first_of_kind(".json", kind_of, "coco")


class Coco(Reader):
    """COCO files; see the module."""

    format = "coco"

    @cached_property
    def _files(self) -> list[tuple[str, dict]]:
        """The names and contents of the files."""
        names = self.listing.of_kind(".json", kind_of, "coco")
        if any(PurePosixPath(name).name.startswith(_INSTANCES) for name in names):
            names = [name for name in names if not PurePosixPath(name).name.startswith(_OTHERS)]
        files = []
        for name in names:
            content = read_json(self.listing.root / name)
            content = content if isinstance(content, dict) else {}
            content.setdefault("annotations", [])
            for key in ("images", "categories", "annotations"):
                if not isinstance(content.get(key), list):
                    raise ValueError(f"{self.listing.root / name}: {_NOT_COCO}")
            files.append((name, content))
        if not files:
            raise ValueError(f"{self.root}: {_NOT_COCO}")
        return files

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories of all files."""
        names = (name for _, content in self._files for name in _categories(content).values())
        return self.given_classes or tuple(dict.fromkeys(names))

    def read(self) -> Iterator[Picture]:
        """Yield the pictures in the order of the files."""
        images: dict[str, _Image] = {}
        for name, content in self._files:
            self._add_file(images, name, content)
        for name, image in images.items():
            seen: set[str] = set()
            objects = []
            for annotation, label, place in image.annotations:
                one = self._object(annotation, label, place, seen)
                if one:
                    objects.append(one)
            header = self.measure(name, len(objects))
            if header:
                yield self.fitted(name, header, objects, stated=image.stated, split=image.split)
        self.lose_unlisted(images)

    def _add_file(self, images: dict[str, _Image], file: str, content: dict) -> None:
        path = PurePosixPath(file)
        split = split_in(path.stem) or split_of(path.parts[:-1])
        labels = _categories(content)
        if len(set(labels.values())) < len(labels):
            self.lose("categories of one name become one class", file)
        # Ids are compared as texts: files have whole numbers and texts, also for one id.
        by_image = defaultdict(list)
        for index, annotation in enumerate(content["annotations"]):
            if isinstance(annotation, dict):
                by_image[str(annotation.get("image_id"))].append(annotation)
            else:
                what = "annotations that are not records"
                self.lose(what, f"{file}, annotation {index}", 1, error=True)
        for index, record in enumerate(content["images"]):
            record = record if isinstance(record, dict) else {}
            written = record.get("file_name")
            own = by_image.pop(str(record.get("id")), [])
            try:
                if not isinstance(written, str):
                    raise LookupError("it has no file_name")
                name = self.listing.find_picture(written, file, split=split)
            except LookupError as error:
                place = f"{file}, image {record.get('id', index)}: {written}"
                self.lose(f"labels without a picture: {error}", place, len(own), error=True)
                continue
            stated = stated_size(record.get("width"), record.get("height"))
            image = images.setdefault(name, _Image(stated, split))
            if image.split != split:
                self.lose("pictures of two splits are kept in the first", name)
            for annotation in own:
                place = f"{file}, annotation {annotation.get('id')}"
                label = labels.get(str(annotation.get("category_id")))
                if label is None:
                    self.lose("annotations of an unknown category", place, 1, error=True)
                else:
                    image.annotations.append((annotation, label, place))
        for left in by_image.values():
            for annotation in left:
                place = f"{file}, annotation {annotation.get('id')}"
                self.lose("annotations of an unknown image", place, 1, error=True)

    def _object(self, record: dict, label: str, place: str, seen: set[str]) -> Object | None:
        outline, box = record.get("segmentation"), record.get("bbox")
        same = json.dumps([label, box, outline], default=str)
        if same in seen:
            self.lose("annotations that are there twice", place, 1)
            return None
        seen.add(same)
        if record.get("keypoints"):
            self.lose("keypoints are left out", place)
        rle: dict | None = None
        polygons: tuple[np.ndarray, ...] = ()
        try:
            if isinstance(outline, dict):
                rle = _checked(outline)
            elif outline:
                polygons = tuple(self._polygon(part, place) for part in outline)
            edges = _box_of(box, rle, polygons)
        except (TypeError, ValueError) as error:
            what = "annotations whose bbox or segmentation is none of COCO's"
            self.lose_shape(error, what, place)
            return None
        crowd, ignored = bool(record.get("iscrowd")), bool(record.get("ignore"))
        return Object(label, edges, polygons, crowd, ignored, rle, place)

    def _polygon(self, part: list, place: str) -> np.ndarray:
        if len(part) == 4:
            self.lose("polygons of two corners, as labelme's rectangles, became rectangles", place)
            x1, y1, x2, y2 = map(float, part)
            return box_polygon((x1, y1, x2, y2))
        return np.array(part, np.float64).reshape(-1, 2)


def _categories(content: dict) -> dict[str, str]:
    """Return the names of the categories by their ids, as texts."""
    found = {}
    for record in content["categories"]:
        if isinstance(record, dict) and "id" in record:
            name = str(record.get("name") or "").strip()
            found[str(record["id"])] = name or f"class_{record['id']}"
    return found


def _checked(rle: dict) -> dict:
    problem = rle_problem(rle, None)
    if problem:
        raise ShapeError(problem)
    height, width = rle["size"]
    if (
        not isinstance(rle["counts"], list)
        and not counts_fill_masks([rle["counts"]], [height * width]).all()
    ):
        raise ShapeError("run lengths (RLE) whose counts cannot be decoded")
    return rle


def _box_of(box: object, rle: dict | None, polygons: Sequence[np.ndarray]) -> Box:
    if isinstance(box, list) and len(box) == 4:
        x, y, w, h = map(float, box)
        return x, y, x + w, y + h
    if polygons:
        return extent(tuple(polygons))
    if rle is None:
        raise ValueError
    return rle_box(rle)
