"""Everything that can be wrong with a COCO file, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmengine.config import Config

from convnext_dense.data.audit.boxes import as_numbers, check_boxes, check_ids
from convnext_dense.data.audit.entries import read_entries
from convnext_dense.data.audit.masks import check_segmentations
from convnext_dense.data.audit.pictures import Picture
from convnext_dense.data.check_coco import (
    check_categories,
    check_evaluators,
    check_is_there,
    check_something_counts,
    image_files,
    require_iscrowd,
    smallest_side,
    truth_is_hidden,
    wants_masks,
    without_masks,
)
from convnext_dense.data.check_files import missing_files
from convnext_dense.data.rules.findings import Findings

# COCO's limits of small and medium objects, in square pixels.
SMALL, MEDIUM = 32**2, 96**2


def audit_coco(
    findings: Findings, cfg: Config, key: str, split: str, dataset: object
) -> tuple[list[dict], list[Picture]]:
    """Check a data set in COCO's format, all but the pictures' content.

    Args:
        findings: Where to report.
        cfg: The config.
        key: The data set's dotted key in it, for messages.
        split: ``train``, ``val`` or ``test``.
        dataset: The data set, built with ``lazy_init``.

    Returns:
        A row per class with its counts, see :func:`count_objects`, and the pictures to look at.

    Raises:
        FileNotFoundError: Where the file is missing.
        ValueError: Where it is not in COCO's format.
    """
    file = dataset.ann_file
    check_is_there(file, key, split, dataset.data_root)
    content = read_entries(findings, file, f"{key}.ann_file")
    hidden = truth_is_hidden(cfg, split)
    with findings.refusals():
        check_evaluators(cfg, split)
    classes = dataset.metainfo["classes"]
    with findings.refusals():
        check_categories(file, key, content["categories"], classes)
    wanted = {c["id"] for c in content["categories"] if c["name"] in set(classes)}
    pictures = check_content(findings, split, dataset, content)
    if hidden:
        findings.remark("the truth is not public (format_only): annotations were not checked")
        return [], pictures
    if split != "train":
        with findings.refusals():
            require_iscrowd(file, content["annotations"])
    rows = check_objects(findings, split, dataset, content, masks=wants_masks(cfg, split))
    if not findings.has_error():  # which would be the cause
        with findings.refusals():
            check_something_counts(file, split, content, wanted, dataset)
    return rows, pictures


def check_content(findings: Findings, split: str, dataset: object, content: dict) -> list[Picture]:
    """Report what is wrong with ids, images and their files.

    Returns:
        The pictures that are there.
    """
    images = content["images"]
    if not images:
        raise ValueError(f"annotation file {dataset.ann_file} lists no images")
    check_ids(findings, content)
    files = image_files(images, dataset)
    missing = missing_files(files)
    findings.error(f"images missing, of {len(images)}", missing)
    smallest = smallest_side(split, dataset)
    findings.note(
        f"images below {smallest} px a side, which training leaves out",
        (i["file_name"] for i in images if _has_size(i) and min(_size(i)) < smallest),
    )
    absent = set(missing)
    return [
        Picture(file, _size(image) if _has_size(image) else None)
        for file, image in zip(files, images, strict=True)
        if file not in absent
    ]


def check_objects(
    findings: Findings, split: str, dataset: object, content: dict, masks: bool
) -> list[dict]:
    """Report what is wrong with the annotations, and count them.

    Args:
        findings: Where to report.
        split: ``train``, ``val`` or ``test``.
        dataset: The data set, built with ``lazy_init``.
        content: Of the annotation file.
        masks: Whether segmentations are wanted.

    Returns:
        A row per class, see :func:`count_objects`.
    """
    classes = dataset.metainfo["classes"]
    images, annotations = content["images"], content["annotations"]
    findings.error(
        "images whose width or height is no positive number, or missing",
        (f"image {image['id']}" for image in images if not _has_size(image)),
    )
    label_of = {name: label for label, name in enumerate(classes)}
    labels_of = {c["id"]: label_of.get(c["name"], -1) for c in content["categories"]}
    sizes = {image["id"]: _size(image) for image in images if _has_size(image)}
    labels = np.array([labels_of.get(a["category_id"], -1) for a in annotations], np.int64)
    kept = check_boxes(findings, annotations, sizes) & (labels >= 0)
    if masks:
        wanted = {category_id for category_id, label in labels_of.items() if label >= 0}
        findings.error(
            "annotations without a segmentation, where the config wants masks (--box-only does "
            "without)",
            (f"annotation {i}" for i in without_masks(annotations, wanted)),
        )
        chosen = [a for a in annotations if a["category_id"] in wanted]
        check_segmentations(findings, chosen, sizes)
    others = Counter(a["category_id"] for a in annotations)
    findings.warning(
        "categories of the file that are no class of the config: they are left out",
        (
            f"{c['name']} ({others[c['id']]} annotations)"
            for c in content["categories"]
            if c["name"] not in label_of
        ),
    )
    # As mmdet filters: by the categories alone, whatever their boxes are.
    occupied = {a["image_id"] for a, label in zip(annotations, labels, strict=True) if label >= 0}
    findings.note(
        _EMPTY[bool(split == "train" and (dataset.filter_cfg or {}).get("filter_empty_gt"))],
        (image["file_name"] for image in images if image["id"] not in occupied),
    )
    rows = count_objects(classes, annotations, labels, kept)
    findings.warning("classes without an object", (r["class"] for r in rows if not r["objects"]))
    return rows


_EMPTY = {
    False: "images without an object",
    True: "images without an object, which training leaves out (filter_empty_gt)",
}


def count_objects(
    classes: Sequence[str], annotations: list[dict], labels: np.ndarray, kept: np.ndarray
) -> list[dict]:
    """Count the objects of each class as mmdet keeps them.

    Args:
        classes: Their names.
        annotations: In COCO's format.
        labels: (N,) of each annotation, -1 for none.
        kept: (N,) bool.

    Returns:
        A dict per class: ``class``, ``images``, ``objects``, of those ``small`` (an area below
        32x32), ``medium`` and ``large`` (from 96x96), and ``crowds``, which are not objects.
    """
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    areas = as_numbers([[a.get("area")] for a in annotations], 1)[:, 0]
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


def content_of(dataset: object) -> tuple[dict, bool]:
    """Give what any data set of mmdet or mmseg reads as a COCO file would have it.

    Args:
        dataset: Built with ``lazy_init``.

    Returns:
        The content, and whether there are instances in it.

    Raises:
        ValueError: Where its entries are no images.
    """
    entries = dataset.load_data_list()
    if not entries or not all("img_path" in entry for entry in entries):
        raise ValueError(
            f"a {type(dataset).__name__} gives {len(entries)} entries, not all with an img_path"
        )
    images, annotations = [], []
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


def _has_size(image: dict) -> bool:
    sides = image.get("width"), image.get("height")
    return all(isinstance(side, int | float) and side > 0 for side in sides)


def _size(image: dict) -> tuple[int, int]:
    return image["width"], image["height"]
