"""Check that a COCO file fits the config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import SPLITS, datasets, evaluators, reads_coco, walk
from convnext_dense.data.check_files import missing_files
from convnext_dense.data.formats.advice import conversion_advice
from convnext_dense.data.rules import Findings, check_annotations, check_records, read_lists
from convnext_dense.data.rules.categories import check_classes, check_names
from convnext_dense.data.rules.coco_file import announce_large_file
from convnext_dense.data.rules.records import name_of
from convnext_dense.data.split_dataset import SplitDataset
from convnext_dense.text import listed

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
    findings: Findings, dataset: SplitDataset, read: Callable[[str, str], dict] = read_lists
) -> CheckedCoco:
    """Check a data set of a config in COCO's format, except the content of its images.

    Args:
        findings: Collects the report.
        dataset: The data set.
        read: Function that reads a file as :func:`~convnext_dense.data.rules.read_lists` does.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not in COCO's format or lists no images.
    """
    _check_is_there(dataset)
    with announce_large_file(dataset.built.ann_file):
        return _check_file(findings, dataset, read)


def _check_file(
    findings: Findings, dataset: SplitDataset, read: Callable[[str, str], dict]
) -> CheckedCoco:
    file, cfg, split = dataset.built.ann_file, dataset.cfg, dataset.split
    content = read(file, f"{dataset.key}.ann_file")
    hidden = truth_is_hidden(cfg, split)
    if hidden:
        content = {**content, "annotations": []}
    findings.source = file
    if not content["images"]:
        raise ValueError(
            f"annotation file {file} lists no images: {dataset.argument} names another"
        )
    content = check_records(findings, content, evaluated=dataset.evaluated)
    with findings.catch_refusals():
        _check_evaluators(cfg, split)
    classes = dataset.classes
    check_names(findings, content, classes)
    names = list(dict.fromkeys(category["name"] for category in content["categories"]))
    with findings.catch_refusals():
        check_classes(file, dataset.key, names, classes, lambda: _other_orders(cfg, file))
    missing = _check_images(findings, dataset, content["images"])
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
        findings, content, evaluated=dataset.evaluated, masks=masks, wanted=wanted
    )
    if not findings.has_error():  # an error would be the reason
        with findings.catch_refusals():
            _check_something_counts(dataset, content, kept, wanted)
    _check_other_truths(findings, dataset, read)
    return CheckedCoco(content, kept, missing)


def _check_other_truths(
    findings: Findings, dataset: SplitDataset, read: Callable[[str, str], dict]
) -> None:
    """Check annotation files of evaluators that differ from the data set's."""
    for path, node in evaluators(dataset.cfg, dataset.split):
        file = node.get("ann_file")
        if not (file and reads_coco(node) and Path(file).is_file()):
            continue
        if Path(file).resolve() == Path(dataset.built.ann_file).resolve():
            continue
        truth = Findings(findings.where, file)
        with truth.catch_refusals():
            content = check_records(truth, read(file, f"{path}.ann_file"), evaluated=True)
            masks = "segm" in node.get("metric", ())
            check_annotations(truth, content, evaluated=True, masks=masks)
            names = [category["name"] for category in content["categories"]]
            check_classes(file, path, names, dataset.classes)
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


def _check_evaluators(cfg: Config, split: str) -> None:
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


def _check_is_there(dataset: SplitDataset) -> None:
    """Refuse a missing annotation file, and name the JSON files that exist."""
    file, root = dataset.built.ann_file, dataset.built.data_root
    if Path(file).is_file():
        return
    missing = f"annotation file {file} ({dataset.key}.ann_file) does not exist"
    advice = conversion_advice(root, "coco")
    if advice:
        raise FileNotFoundError(f"{missing}; {advice}")
    around = sorted(
        str(path.relative_to(root))
        for pattern in ("*.json", "*/*.json")
        for path in Path(root).glob(pattern)
    )
    held = listed(around, _NAMES_SHOWN) or "no JSON file at all"
    raise FileNotFoundError(f"{missing}: name yours by {dataset.argument}; {root} holds {held}")


def _check_images(findings: Findings, dataset: SplitDataset, images: list[dict]) -> list[str]:
    """Report images that are not on the disk, and return their files."""
    missing = missing_files(image_files(images, dataset))
    findings.add_error(
        f"images missing, of {len(images)}: {dataset.argument} looks for their folder; in a "
        f"config it is {dataset.key}.data_prefix.img",
        missing,
        FileNotFoundError,
    )
    return missing


def image_files(images: list[dict], dataset: SplitDataset) -> list[str]:
    """Return the path of each image."""
    folder = dataset.built.data_prefix["img"]
    return [str(Path(folder, image["file_name"])) for image in images]


def _check_something_counts(
    dataset: SplitDataset, content: dict, kept: np.ndarray, wanted: set
) -> None:
    """Refuse a file in which no annotation can be used for training or evaluation."""
    annotations = content["annotations"]
    min_size = dataset.smallest_side
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
        f"annotation file {dataset.built.ann_file}: none of the {len(annotations)} annotations "
        "counts: each needs a category of the config's classes, an area, and an image of the file"
        + (f" of at least {min_size} px a side" if min_size > 0 else "")
        + f"; {dataset.argument} names another file"
    )
