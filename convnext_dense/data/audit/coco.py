"""Check a COCO file thoroughly, and count its objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.config_tree import type_name
from convnext_dense.data.audit.pictures import Picture
from convnext_dense.data.check_coco import check_coco, image_files
from convnext_dense.data.check_files import missing_files
from convnext_dense.data.rules import Findings, check_annotations, check_records
from convnext_dense.data.rules.records import has_size
from convnext_dense.data.split_dataset import SplitDataset

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset

# COCO's limits of small and medium objects, in square pixels.
SMALL, MEDIUM = 32**2, 96**2


def audit_coco(findings: Findings, dataset: SplitDataset) -> tuple[list[dict], list[Picture]]:
    """Check a data set in COCO's format, except the content of its pictures, and count its objects.

    Returns:
        A row with counts for each class, see :func:`count_objects`, and the pictures to check.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not in COCO's format or lists no images.
    """
    checked = check_coco(findings, dataset)
    pictures = _list_pictures(findings, dataset, checked.content, checked.missing)
    if checked.kept is None:
        return [], pictures
    return _describe_objects(findings, dataset, checked.content, checked.kept), pictures


def audit_other(findings: Findings, dataset: SplitDataset) -> tuple[list[dict], list[Picture]]:
    """Check what another reader than COCO's returns, as :func:`audit_coco` does.

    Raises:
        ValueError: If its entries are not images.
    """
    content, has_instances = _content_of(dataset.built)
    findings.add_remark(
        f"{dataset.key} is a {type_name(dataset.config)}: only the images"
        + (" and the boxes that its reader returns" if has_instances else "")
        + " were checked"
    )
    dataset.built.data_prefix = dict(dataset.built.data_prefix, img="")  # the paths are whole
    missing = missing_files(image_files(content["images"], dataset))
    findings.add_error(f"images missing, of {len(content['images'])}", missing)
    pictures = _list_pictures(findings, dataset, content, missing)
    if not has_instances:
        return [], pictures
    content = check_records(findings, content, evaluated=dataset.evaluated)
    kept = check_annotations(findings, content, evaluated=dataset.evaluated, masks=False)
    return _describe_objects(findings, dataset, content, kept), pictures


def _list_pictures(
    findings: Findings, dataset: SplitDataset, content: dict, missing: Sequence[str]
) -> list[Picture]:
    """List the pictures that exist, and report those that training leaves out."""
    images = content["images"]
    smallest = dataset.smallest_side
    findings.add_note(
        f"images below {smallest} px a side, which training leaves out",
        (
            image["file_name"]
            for image in images
            if has_size(image) and min(image["width"], image["height"]) < smallest
        ),
    )
    absent = set(missing)
    return [
        Picture(file, (image["width"], image["height"]) if has_size(image) else None)
        for file, image in zip(image_files(images, dataset), images, strict=True)
        if file not in absent
    ]


def _describe_objects(
    findings: Findings, dataset: SplitDataset, content: dict, kept: np.ndarray
) -> list[dict]:
    """Count the objects by class, and report images and classes without objects.

    Args:
        findings: Collects the report.
        dataset: The data set.
        content: The valid records of the annotation file.
        kept: (N,) bool: which annotations mmdet keeps.
    """
    classes = dataset.classes
    images, annotations = content["images"], content["annotations"]
    label_of = {name: label for label, name in enumerate(classes)}
    labels_of = {c["id"]: label_of.get(c["name"], -1) for c in content["categories"]}
    labels = np.array([labels_of.get(a["category_id"], -1) for a in annotations], np.int64)
    others = Counter(a["category_id"] for a in annotations)
    findings.add_warning(
        "categories of the file that are not classes of the config: they are left out",
        (
            f"{c['name']} ({others[c['id']]} annotations)"
            for c in content["categories"]
            if c["name"] not in label_of
        ),
    )
    if not findings.has_error():  # an error may be the reason for missing objects
        # As in mmdet, only the categories count here, not the boxes.
        occupied = {
            a["image_id"] for a, label in zip(annotations, labels, strict=True) if label >= 0
        }
        filtered = not dataset.evaluated and dataset.built.filter_cfg
        left_out = filtered and filtered.get("filter_empty_gt")
        findings.add_note(
            "images without an object"
            + (", which training leaves out (filter_empty_gt)" if left_out else ""),
            (image["file_name"] for image in images if image["id"] not in occupied),
        )
    rows = count_objects(classes, annotations, labels, kept & (labels >= 0))
    findings.add_warning(
        "classes without an object", (r["class"] for r in rows if not r["objects"])
    )
    return rows


def count_objects(
    classes: Sequence[str], annotations: list[dict], labels: np.ndarray, kept: np.ndarray
) -> list[dict]:
    """Count the objects of each class that mmdet keeps.

    Args:
        classes: Names of the classes.
        annotations: N annotations in COCO's format.
        labels: (N,) label of each annotation, -1 for none.
        kept: (N,) bool: which annotations mmdet keeps.

    Returns:
        A dict for each class: ``class``, ``images``, ``objects``, how many objects are ``small``
        (area below 32x32), ``medium`` or ``large`` (from 96x96), and ``crowds``, which are not
        objects.
    """
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    areas = np.array([a["area"] for a in annotations], np.float64)
    number = len(classes)

    def count(where: np.ndarray) -> list[int]:
        return np.bincount(labels[where], minlength=number).tolist()

    objects = kept & ~crowd
    small, large = areas < SMALL, areas >= MEDIUM
    image_ids = {a["image_id"]: index for index, a in enumerate(annotations)}
    image = np.array([image_ids[a["image_id"]] for a in annotations], np.int64)
    pairs = np.unique(labels[objects] * max(1, len(annotations)) + image[objects])
    columns = {
        "images": np.bincount(pairs // max(1, len(annotations)), minlength=number).tolist(),
        "objects": count(objects),
        "small": count(objects & small),
        "medium": count(objects & ~small & ~large),
        "large": count(objects & large),
        "crowds": count(kept & crowd),
    }
    return [
        {"class": name, **{title: column[i] for title, column in columns.items()}}
        for i, name in enumerate(classes)
    ]


def _content_of(dataset: BaseDataset) -> tuple[dict, bool]:
    """Return the entries of a data set in COCO's format, and whether it has instances."""
    entries = dataset.load_data_list()
    if not entries or not all("img_path" in entry for entry in entries):
        raise ValueError(
            f"a {type(dataset).__name__} has {len(entries)} entries, not all with an img_path"
        )
    images, annotations = [], list[dict]()
    for index, entry in enumerate(entries):
        size = dict(width=entry.get("width"), height=entry.get("height"))
        images.append(dict(size, id=index, file_name=entry["img_path"]))
        for instance in entry.get("instances", ()):
            x1, y1, x2, y2 = map(float, instance["bbox"])
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=index,
                    category_id=int(instance["bbox_label"]),
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=int(instance.get("ignore_flag", 0)),
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(dataset.metainfo["classes"])]
    content = dict(images=images, annotations=annotations, categories=categories)
    return content, any("instances" in entry for entry in entries)
