"""Is a COCO file what the config takes it for?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from convnext_dense.data.check_files import flag_of, missing_files
from convnext_dense.data.tree import evaluators, walk

_IMAGE_FIELDS = ("id", "file_name", "height", "width")
_ANNOTATION_FIELDS = ("id", "image_id", "category_id", "bbox", "area")
_NAMES_SHOWN = 40


def check_coco(
    cfg: Config,
    key: str,
    split: str,
    dataset: object,
    read: Callable[[str, str], dict],
) -> None:
    """Check one COCO-format data set of a config, its images included.

    Args:
        cfg: The config.
        key: The data set's dotted key in it, for messages.
        split: ``train``, ``val`` or ``test``.
        dataset: The data set, built with ``lazy_init``.
        read: Gives a file's content as :func:`read_coco` does.

    Raises:
        FileNotFoundError: Where the file or an image is missing.
        ValueError: Where the file does not fit the config.
    """
    file = dataset.ann_file
    check_is_there(file, key, split, dataset.data_root)
    content = read(file, f"{key}.ann_file")
    wanted = check_categories(file, key, content["categories"], dataset.metainfo["classes"])
    check_images(file, key, split, content["images"], dataset)
    check_evaluators(cfg, split)
    if truth_is_hidden(cfg, split):
        return
    check_annotations(file, split, content, wanted, dataset)
    if wants_masks(cfg, split):
        check_masks(file, content["annotations"], wanted)


def check_evaluators(cfg: Config, split: str) -> None:
    """Refuse an evaluator whose annotation file is not there."""
    for path, node in evaluators(cfg, split):
        if node.get("ann_file") and not Path(node.ann_file).is_file():
            raise FileNotFoundError(
                f"annotation file {node.ann_file} ({path}.ann_file) does not exist: --data-root "
                "and --ann-val move it along with the data"
            )


def truth_is_hidden(cfg: Config, split: str) -> bool:
    """Tell whether a split is a test set whose truth is not public."""
    return any(node.get("format_only") for node in _metrics(cfg, split))


def wants_masks(cfg: Config, split: str) -> bool:
    """Tell whether a split's pipeline loads masks, or its evaluator compares them."""
    loads = any(node.get("with_mask") for _, node in walk(cfg[f"{split}_dataloader"]))
    return loads or any("segm" in node.metric for node in _metrics(cfg, split))


def _metrics(cfg: Config, split: str) -> list[ConfigDict]:
    return [node for _, node in evaluators(cfg, split) if "metric" in node]


def check_is_there(file: str, key: str, split: str, root: str) -> None:
    """Refuse a missing file and name those that are there instead."""
    if Path(file).is_file():
        return
    around = sorted(
        str(path.relative_to(root))
        for pattern in ("*.json", "*/*.json")
        for path in Path(root).glob(pattern)
    )
    listed = ", ".join(around[:_NAMES_SHOWN]) or "no JSON file at all"
    raise FileNotFoundError(
        f"annotation file {file} ({key}.ann_file) does not exist: name yours by {flag_of(split)}; "
        f"{root} holds {listed}"
    )


def read_coco(file: str, key: str) -> dict:
    """Read a COCO file.

    Returns:
        Its content with the lists ``images``, ``categories`` and ``annotations``; the last is
        empty where the file has none.

    Raises:
        ValueError: Where it is not JSON or not COCO.
    """
    content = read_lists(file, key)
    require_fields(file, "image", content["images"], _IMAGE_FIELDS)
    require_fields(file, "category", content["categories"], ("id", "name"))
    require_fields(file, "annotation", content["annotations"], _ANNOTATION_FIELDS)
    return content


def read_lists(file: str, key: str) -> dict:
    """Read a COCO file without a look at the entries of its lists.

    Returns:
        As :func:`read_coco`.

    Raises:
        ValueError: Where it is not JSON or lacks a list.
    """
    try:
        content = read_json(file)
    except ValueError as error:
        raise ValueError(f"annotation file {file} ({key}) is not JSON: {error}") from error
    if isinstance(content, dict):
        content.setdefault("annotations", [])
    lists = ("images", "annotations", "categories")
    if not (isinstance(content, dict) and all(isinstance(content.get(k), list) for k in lists)):
        raise ValueError(
            f"annotation file {file} ({key}) is not in COCO's format: it wants the lists images, "
            "annotations and categories"
        )
    return content


def read_json(file: str) -> object:
    """Read a JSON file where pycocotools can.

    Raises:
        ValueError: Where it is not JSON in UTF-8, or begins with a byte order mark.
    """
    text = Path(file).read_text(encoding="utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without one")
    return json.loads(text)


def require_fields(file: str, kind: str, entries: list[dict], fields: Sequence[str]) -> None:
    """Refuse entries that lack a field."""
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(
                f"annotation file {file}: {kind} number {index} is {entry!r:.40}; COCO's format "
                f"wants {{...}} with {', '.join(fields)}"
            )
        lacking = [field for field in fields if field not in entry]
        if lacking:
            raise ValueError(
                f"annotation file {file}: {kind} {entry.get('id', f'number {index}')} has no "
                f"{' and no '.join(lacking)}; COCO's format wants {', '.join(fields)} for each"
            )


def check_categories(
    file: str, key: str, categories: list[dict], classes: Sequence[str]
) -> set[int]:
    """Compare a file's categories with the classes of the config.

    The file may have further categories, which are then not learned. The order counts, because
    mmdet numbers the classes in the order of the file.

    Returns:
        The ids of the categories that the config wants.
    """
    names = [category["name"] for category in categories]
    chosen = [name for name in names if name in set(classes)]
    if chosen == list(classes):
        return {category["id"] for category in categories if category["name"] in set(classes)}
    absent = [name for name in classes if name not in names]
    if absent:
        wrong = f"lacks {len(absent)} of the classes of {key}, the first is {absent[0]!r}"
        order = names
    else:
        wrong = f"has the classes of {key} twice or in another order"
        order = chosen
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    flag = classes_flag(order) if len(order) <= _NAMES_SHOWN else "--classes a,b,c"
    raise ValueError(f"annotation file {file} {wrong}; its categories are {shown}: {flag}")


def classes_flag(names: Sequence[str]) -> str:
    """Write ``--classes`` with these names for a shell, or what to do where the flag cannot."""
    # The flag splits at commas and strips the names.
    unfit = next((name for name in names if "," in name or name != name.strip() or not name), None)
    if unfit is not None:
        return (
            f"--classes cannot give the name {unfit!r}, rename it in the file or set "
            "metainfo.classes of the data sets and num_classes of the heads in a config"
        )
    return f"--classes {shlex.quote(','.join(names))}"


def check_images(file: str, key: str, split: str, images: list[dict], dataset: object) -> None:
    """Refuse a file without images, and images that are not on the disk."""
    if not images:
        raise ValueError(f"annotation file {file} lists no images: {flag_of(split)} names another")
    missing = missing_files(image_files(images, dataset))
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(images)} images of {file} are missing, the first is "
            f"{missing[0]}: {flag_of(split)} looks for their folder; in a config it is "
            f"{key}.data_prefix.img"
        )


def image_files(images: list[dict], dataset: object) -> list[str]:
    """Give the path of each image."""
    folder = dataset.data_prefix["img"]
    return [str(Path(folder, image["file_name"])) for image in images]


def check_annotations(
    file: str, split: str, content: dict, wanted: set[int], dataset: object
) -> None:
    """Refuse ids that clash, fields that evaluation lacks, and a file of which nothing is left."""
    annotations = content["annotations"]
    if len({annotation["id"] for annotation in annotations}) < len(annotations):
        raise ValueError(f"annotation file {file}: two annotations have the same id: number them")
    if split != "train":
        require_iscrowd(file, annotations)
    check_something_counts(file, split, content, wanted, dataset)


def require_iscrowd(file: str, annotations: list[dict]) -> None:
    """Refuse annotations without the field that pycocotools alone needs."""
    require_fields(file, "annotation", annotations, (*_ANNOTATION_FIELDS, "iscrowd"))


def smallest_side(split: str, dataset: object) -> int:
    """Give the side in pixels below which mmdet leaves images out, in training alone."""
    return (dataset.filter_cfg or {}).get("min_size", 0) if split == "train" else 0


def check_something_counts(
    file: str, split: str, content: dict, wanted: set[int], dataset: object
) -> None:
    """Refuse a file of which nothing is left to learn from or to compare with."""
    annotations = content["annotations"]
    min_size = smallest_side(split, dataset)
    used = {
        image["id"]
        for image in content["images"]
        if min(image["height"], image["width"]) >= min_size
    }
    if any(a["image_id"] in used and _counts(a, wanted) for a in annotations):
        return
    raise ValueError(
        f"annotation file {file}: none of the {len(annotations)} annotations counts: they need a "
        f"category of the config's classes, an area, and an image of the file"
        + (f" of at least {min_size} px a side" if min_size > 0 else "")
        + f"; {flag_of(split)} names another file"
    )


def _counts(annotation: dict, wanted: Iterable[int]) -> bool:
    """Tell whether mmdet keeps an annotation as one to learn."""
    _, _, width, height = annotation["bbox"]
    learned = annotation["category_id"] in wanted and not annotation.get("iscrowd")
    return learned and annotation["area"] > 0 and width >= 1 and height >= 1


def check_masks(file: str, annotations: list[dict], wanted: set[int]) -> None:
    """Refuse boxes without masks where the config wants masks."""
    without = without_masks(annotations, wanted)
    if without:
        raise ValueError(
            f"annotation file {file}: {len(without)} of {len(annotations)} annotations have no "
            f"segmentation, the first is id {without[0]}, but the config wants masks: --box-only "
            "trains and tests boxes alone"
        )


def without_masks(annotations: list[dict], wanted: set[int]) -> list[object]:
    """Give the ids of the wanted annotations that have no segmentation."""
    return [
        annotation["id"]
        for annotation in annotations
        if annotation["category_id"] in wanted and not annotation.get("segmentation")
    ]
