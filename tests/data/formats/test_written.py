"""What other packages write, or their documented form, comes back whole."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.geometry import area
from convnext_dense.data.formats.grouping import decode

WIDTH, HEIGHT = 640, 427
LABELMES = Path(__file__).parent / "written" / "labelme_6.3.1.json"
X, Y = (st.floats(0, side, allow_nan=False, width=32) for side in (WIDTH, HEIGHT))
OUTLINES = st.lists(st.lists(st.tuples(X, Y), min_size=3, max_size=12), min_size=1, max_size=4)
REPEATED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def yolo(tree, outlines):
    from supervision.dataset.formats.yolo import object_to_yolo

    lines = (
        object_to_yolo(np.zeros(4), 0, (HEIGHT, WIDTH, 3), polygon=np.array(outline))
        for outline in outlines
    )
    tree.text("data.yaml", "train: .\nnames: [cat]\n")
    tree.text("p.txt", "\n".join(lines))


def voc(tree, outlines):
    from supervision.dataset.formats.pascal_voc import object_to_pascal_voc

    root = ElementTree.Element("annotation")
    for outline in outlines:
        points = np.array(outline)
        edges = np.concatenate([points.min(0), points.max(0)])
        root.append(object_to_pascal_voc(edges, "cat", points))
    tree.text("p.xml", ElementTree.tostring(root))


def labelme(tree, outlines):
    content = json.loads(LABELMES.read_text())
    shape = content["shapes"][0]
    content["shapes"] = [shape | dict(points=[list(p) for p in outline]) for outline in outlines]
    size = dict(imageWidth=WIDTH, imageHeight=HEIGHT)
    tree.json("p.json", content | dict(imagePath="p.jpg", imageData=None, **size))


def cvat(tree, outlines):
    """CVAT writes two digits."""
    root = ElementTree.Element("annotations")
    sides = dict(width=str(WIDTH), height=str(HEIGHT))
    image = ElementTree.SubElement(root, "image", id="0", name="p.jpg", **sides)
    for outline in outlines:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline)
        ElementTree.SubElement(image, "polygon", label="cat", points=points, occluded="0")
    tree.text("p.xml", ElementTree.tostring(root))


def coco(tree, outlines):
    records = [
        dict(id=n, image_id=1, category_id=1, iscrowd=0, segmentation=[np.ravel(outline).tolist()])
        for n, outline in enumerate(outlines)
    ]
    image = dict(id=1, file_name="p.jpg", width=WIDTH, height=HEIGHT)
    categories = [dict(id=1, name="cat")]
    tree.json("p.json", dict(images=[image], categories=categories, annotations=records))


@pytest.mark.slow
@pytest.mark.parametrize("write", [yolo, voc, labelme, cvat, coco])
@REPEATED
@given(outlines=OUTLINES)
def test_vertices_come_back_within_half_a_pixel(tree, write, outlines):
    wide = [outline for outline in outlines if area(np.array(outline)) > 20 and is_wide(outline)]
    if not tree.root.exists():
        tree.picture("p.jpg", (WIDTH, HEIGHT))
    write(tree, wide)
    read = tree.read(format=write.__name__)
    unique = [outline for n, outline in enumerate(wide) if outline not in wide[:n]]
    assert len(read.objects) == len(unique if write is coco else wide)
    for outline, found in zip(unique if write is coco else wide, read.objects, strict=True):
        (part,) = found.polygons
        np.testing.assert_allclose(part, outline, atol=0.5)
        edges = np.concatenate([np.min(outline, 0), np.max(outline, 0)])
        np.testing.assert_allclose(found.box, edges, atol=1 if write is voc else 0.5)
    assert {loss.what for loss in read.losses} <= {
        "annotations that are there twice",
        "pictures without labels are kept as empty",
    }


def is_wide(outline):
    return (np.ptp(outline, axis=0) > 2).all()


def test_what_labelme_writes(tree):
    tree.text("a/own.json", LABELMES.read_bytes())
    read = tree.read()
    picture = read.pictures["a/p.jpg"]
    assert picture.content().startswith(b"\xff\xd8") and read.classes == ("cat", "dog")
    polygon, rectangle, circle, group, mask, oriented = picture.objects
    np.testing.assert_array_equal(polygon.polygons[0], [(3.25, 4.5), (30.125, 6), (20, 25.75)])
    assert rectangle.box == (12, 8, 30.5, 20.25) and circle.box == pytest.approx((15, 10, 25, 20))
    assert group.box == (1, 1, 15, 5) and decode(mask.rle).sum() == 4
    assert oriented.box == (5, 5, 15, 15)
    assert read.said == {
        "the picture was taken out of its label file": 1,
        "circles became polygons": 1,
        "shapes of type line, which have no area, are left out": 1,
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A data set of supervision: three pictures, each with a triangle, an ellipse and a box."""
    import cv2
    import supervision

    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    paths, annotations = [], {}
    for name in ("a", "b c", "ü"):
        path = str(folder / f"{name}.jpg")
        Image.fromarray(rng.integers(0, 255, (120, 160, 3), np.uint8)).save(path)
        masks = np.zeros((3, 120, 160), np.uint8)
        x, y = rng.integers(30, 60, 2)
        cv2.fillPoly(masks[0], [np.array([(x, y), (x + 40, y + 5), (x + 10, y + 30)], np.int32)], 1)
        cv2.ellipse(masks[1], (int(x) + 20, int(y)), (25, 12), 30, 0, 360, 1, -1)
        masks[2, y : y + 20, x : x + 31] = 1
        masks = masks.astype(bool)
        edges = supervision.mask_to_xyxy(masks) + np.array([0, 0, 1, 1])
        ids = np.array([0, 1, 0])
        annotations[path] = supervision.Detections(edges.astype(float), mask=masks, class_id=ids)
        paths.append(path)
    return supervision.DetectionDataset(["cat", "dog"], paths, annotations)


WRITERS = {
    "yolo": lambda set, root: set.as_yolo(f"{root}/images", f"{root}/labels", f"{root}/data.yaml"),
    "voc": lambda set, root: set.as_pascal_voc(f"{root}/JPEGImages", f"{root}/Annotations"),
    "coco": lambda set, root: set.as_coco(f"{root}/images", f"{root}/annotations/all.json"),
    "labelme": lambda set, root: set.as_labelme(f"{root}/images", f"{root}/labels"),
}


@pytest.mark.slow
@pytest.mark.parametrize("format", WRITERS)
def test_what_supervision_writes(drawn, tmp_path, format):
    WRITERS[format](drawn, tmp_path)
    source = open_source(tmp_path)
    pictures = list(source.pictures())
    assert source.format == format and set(source.classes) == {"cat", "dog"}
    assert len(pictures) == 3 and source.losses == []
    for picture in pictures:
        truth = next(
            own for path, own in drawn.annotations.items() if path.endswith(picture.path.name)
        )
        assert [one.label for one in picture.objects] == [drawn.classes[n] for n in truth.class_id]
        # Its outlines run through the middle of the last pixels.
        boxes = [one.box for one in picture.objects]
        np.testing.assert_allclose(boxes, truth.xyxy, atol=1.01)
        for one, mask in zip(picture.objects, truth.mask, strict=True):
            covered = decode(one.rle).sum() if one.rle else sum(map(area, one.polygons))
            assert covered == pytest.approx(mask.sum(), rel=0.2)
