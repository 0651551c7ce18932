"""Check that a COCO file fits the config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import SPLITS, datasets, evaluators, reads_coco, walk
from convnext_dense.data.check_files import argument_of, missing_files
from convnext_dense.data.formats.advice import conversion_advice
from convnext_dense.data.rules import Findings, check_annotations, check_records, read_lists
from convnext_dense.data.rules.categories import check_classes, check_names
from convnext_dense.data.rules.coco_file import announce_large_file
from convnext_dense.data.rules.records import name_of
from convnext_dense.text import listed

if TYPE_CHECKING:
    from mmdet.datasets import CocoDataset

_NAMES_SHOWN = 40


@dataclass(frozen=True)
class CheckedCoco:
    """The valid content of a COCO file.

    Attributes:
        content: Its valid records.
        kept: (N,) bool: which annotations mmdet keeps, of all categories; None if they were not
            checked.
        missing: Files of images that do not exist.
    """

    content: dict
    kept: np.ndarray | None
    missing: list[str]

    def count_objects(self, classes: Sequence[str]) -> int | None:
        """Return the number of objects of these classes that mmdet keeps, without crowds.

        It is None if the annotations were not checked.
        """
        if self.kept is None:
            return None
        names = {category["id"]: category["name"] for category in self.content["categories"]}
        return sum(
            bool(keeps) and names[a["category_id"]] in classes and not a.get("iscrowd")
            for a, keeps in zip(self.content["annotations"], self.kept, strict=True)
        )


def check_coco(
    findings: Findings,
    cfg: Config,
    key: str,
    split: str,
    dataset: CocoDataset,
    read: Callable[[str, str], dict] = read_lists,
) -> CheckedCoco:
    """Check a data set of a config in COCO's format, except the content of its images.

    Args:
        findings: Collects the report.
        cfg: The config.
        key: The data set's dotted key in it, for messages.
        split: ``train``, ``val`` or ``test``.
        dataset: The data set, built with ``lazy_init``.
        read: Function that reads a file as :func:`~convnext_dense.data.rules.read_lists` does.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not in COCO's format or lists no images.
    """
    check_is_there(dataset.ann_file, key, split, dataset.data_root)
    with announce_large_file(dataset.ann_file):
        return _check_file(findings, cfg, key, split, dataset, read)


def _check_file(
    findings: Findings,
    cfg: Config,
    key: str,
    split: str,
    dataset: CocoDataset,
    read: Callable[[str, str], dict],
) -> CheckedCoco:
    file = dataset.ann_file
    content = read(file, f"{key}.ann_file")
    hidden = truth_is_hidden(cfg, split)
    if hidden:
        content = {**content, "annotations": []}
    findings.source = file
    if not content["images"]:
        raise ValueError(
            f"annotation file {file} lists no images: {argument_of(split)} names another"
        )
    content = check_records(findings, content, evaluated=split != "train")
    with findings.catch_refusals():
        check_evaluators(cfg, split)
    classes = dataset.metainfo["classes"]
    check_names(findings, content, classes)
    names = list(dict.fromkeys(category["name"] for category in content["categories"]))
    with findings.catch_refusals():
        check_classes(file, key, names, classes, lambda: _other_orders(cfg, file))
    missing = check_images(findings, key, split, content["images"], dataset)
    if hidden:
        findings.add_remark("the truth is not public (format_only): annotations were not checked")
        return CheckedCoco(content, None, missing)
    wanted = {c["id"] for c in content["categories"] if c["name"] in classes}
    masks = wants_masks(cfg, split)
    if masks:
        findings.add_error(
            "the config needs masks: `box_only=True` trains and tests only boxes",
            (
                f"{name_of('annotations', annotation)} has no segmentation"
                for annotation in content["annotations"]
                if annotation["category_id"] in wanted and not annotation.get("segmentation")
            ),
        )
    kept = check_annotations(
        findings, content, evaluated=split != "train", masks=masks, wanted=wanted
    )
    if not findings.has_error():  # an error would be the reason
        with findings.catch_refusals():
            check_something_counts(file, split, content, kept, wanted, dataset)
    _check_other_truths(findings, cfg, split, dataset, read)
    return CheckedCoco(content, kept, missing)


def _check_other_truths(
    findings: Findings,
    cfg: Config,
    split: str,
    dataset: CocoDataset,
    read: Callable[[str, str], dict],
) -> None:
    """Check annotation files of evaluators that differ from the data set's."""
    for path, node in evaluators(cfg, split):
        file = node.get("ann_file")
        if not (file and reads_coco(node) and Path(file).is_file()):
            continue
        if Path(file).resolve() == Path(dataset.ann_file).resolve():
            continue
        truth = Findings(findings.where, file)
        with truth.catch_refusals():
            content = check_records(truth, read(file, f"{path}.ann_file"), evaluated=True)
            masks = "segm" in node.get("metric", ())
            check_annotations(truth, content, evaluated=True, masks=masks)
            names = [category["name"] for category in content["categories"]]
            check_classes(file, path, names, dataset.metainfo["classes"])
        findings.found += truth.found


def _other_orders(cfg: Config, file: str) -> dict[str, list[str]]:
    """Return the names of the categories in each of the config's other files that can be read."""
    orders: dict[str, list[str]] = {}
    for split in SPLITS:
        for key, dataset in datasets(cfg, split):
            other = str(Path(dataset.get("data_root") or "", str(dataset.get("ann_file", ""))))
            if other in {str(Path(file)), *orders} or not reads_coco(dataset):
                continue
            findings = Findings(split)
            with findings.catch_refusals():
                content = check_records(findings, read_lists(other, key), evaluated=False)
                orders[other] = [category["name"] for category in content["categories"]]
    return orders


def check_evaluators(cfg: Config, split: str) -> None:
    """Refuse an evaluator whose annotation file does not exist."""
    for path, node in evaluators(cfg, split):
        if node.get("ann_file") and not Path(node.ann_file).is_file():
            raise FileNotFoundError(
                f"annotation file {node.ann_file} ({path}.ann_file) does not exist: "
                "`data_root` and `ann_val` move it along with the data"
            )


def truth_is_hidden(cfg: Config, split: str) -> bool:
    """Whether a split is a test set whose truth is not public."""
    return any(node.get("format_only") for node in _metrics(cfg, split))


def wants_masks(cfg: Config, split: str) -> bool:
    """Whether a split's pipeline loads masks, or its evaluator compares them."""
    loads = any(node.get("with_mask") for _, node in walk(cfg[f"{split}_dataloader"]))
    return loads or any("segm" in node.metric for node in _metrics(cfg, split))


def _metrics(cfg: Config, split: str) -> list[ConfigDict]:
    return [node for _, node in evaluators(cfg, split) if "metric" in node]


def check_is_there(file: str, key: str, split: str, root: str) -> None:
    """Refuse a missing annotation file, and name the JSON files that exist."""
    if Path(file).is_file():
        return
    advice = conversion_advice(root, "coco")
    if advice:
        raise FileNotFoundError(f"annotation file {file} ({key}.ann_file) does not exist; {advice}")
    around = sorted(
        str(path.relative_to(root))
        for pattern in ("*.json", "*/*.json")
        for path in Path(root).glob(pattern)
    )
    held = listed(around, _NAMES_SHOWN) or "no JSON file at all"
    raise FileNotFoundError(
        f"annotation file {file} ({key}.ann_file) does not exist: name yours by "
        f"{argument_of(split)}; {root} holds {held}"
    )


def check_images(
    findings: Findings, key: str, split: str, images: list[dict], dataset: CocoDataset
) -> list[str]:
    """Report images that are not on the disk, and return their files."""
    missing = missing_files(image_files(images, dataset))
    findings.add_error(
        f"images missing, of {len(images)}: {argument_of(split)} looks for their folder; in a "
        f"config it is {key}.data_prefix.img",
        missing,
        FileNotFoundError,
    )
    return missing


def image_files(images: list[dict], dataset: CocoDataset) -> list[str]:
    """Return the path of each image."""
    folder = dataset.data_prefix["img"]
    return [str(Path(folder, image["file_name"])) for image in images]


def smallest_side(split: str, dataset: CocoDataset) -> int:
    """Return the side in pixels below which mmdet leaves out images in training; else 0."""
    return (dataset.filter_cfg or {}).get("min_size", 0) if split == "train" else 0


def check_something_counts(
    file: str, split: str, content: dict, kept: np.ndarray, wanted: set, dataset: CocoDataset
) -> None:
    """Refuse a file in which no annotation can be used for training or evaluation."""
    annotations = content["annotations"]
    min_size = smallest_side(split, dataset)
    used = {
        image["id"]
        for image in content["images"]
        if min(image["height"], image["width"]) >= min_size
    }
    if any(
        keeps and a["image_id"] in used and a["category_id"] in wanted and not a.get("iscrowd")
        for a, keeps in zip(annotations, kept, strict=True)
    ):
        return
    raise ValueError(
        f"annotation file {file}: none of the {len(annotations)} annotations counts: each needs a "
        f"category of the config's classes, an area, and an image of the file"
        + (f" of at least {min_size} px a side" if min_size > 0 else "")
        + f"; {argument_of(split)} names another file"
    )
