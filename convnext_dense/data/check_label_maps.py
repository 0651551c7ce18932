"""Check that a segmenter's images and label maps fit the config."""

from __future__ import annotations

import os
from pathlib import Path

from convnext_dense.data.check_files import IMAGE_SUFFIXES, missing_files
from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.advice import conversion_advice
from convnext_dense.data.label_maps import (
    IGNORED,
    check_number_of_classes,
    learned_labels,
    read_label_map,
)
from convnext_dense.data.split_dataset import SplitDataset

_MAPS_READ = 8
PAIR = {"img_path": "images", "seg_map_path": "label maps"}


def check_label_maps(dataset: SplitDataset) -> None:
    """Check a data set of images and label maps. Only some of the maps are read.

    Raises:
        FileNotFoundError: If a folder, an image or a label map is missing.
        ValueError: If there are no images, more classes than label maps can hold, labels that are
            not classes, or no labelled pixel in any map.
    """
    key, built = dataset.key, dataset.built
    check_number_of_classes(dataset.classes, built.reduce_zero_label, key)
    if None in built.data_prefix.values():
        return  # a test set whose truth is not public
    pairs = list_pairs(dataset)
    for field, kind in PAIR.items():
        missing = missing_files(pair[field] for pair in pairs)
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(pairs)} {kind} are missing, the first is {missing[0]}: an "
                f"image's label map has its name with {built.seg_map_suffix} for "
                f"{built.img_suffix}, in {key}.data_prefix.seg_map_path"
            )
    step = max(1, len(pairs) // _MAPS_READ)
    order = pairs[::step] + [pair for i, pair in enumerate(pairs) if i % step]
    labelled = 0
    # Read more than these only until a map with a label is found.
    for number, pair in enumerate(order):
        if number >= _MAPS_READ and labelled:
            return
        labelled += _check_map(pair["seg_map_path"], pair["img_path"], dataset)
    if not labelled:
        raise ValueError(
            f"none of the {len(pairs)} label maps of {built.data_prefix['seg_map_path']} "
            f"({key}.data_prefix.seg_map_path) has a labelled pixel: {IGNORED}"
            + (" and 0 are" if built.reduce_zero_label else " is")
            + f" left out, write the classes from {int(built.reduce_zero_label)}"
        )


def list_pairs(dataset: SplitDataset) -> list[dict]:
    """List a data set's images and label maps, whether the files exist or not.

    Returns:
        At least one dict with ``img_path`` and ``seg_map_path``.

    Raises:
        FileNotFoundError: If a folder or the list of names is missing.
        ValueError: If there are no images, or some that mmseg would not read.
    """
    key, built = dataset.key, dataset.built
    for prefix in PAIR:
        folder = built.data_prefix[prefix]
        if not Path(folder).is_dir():
            missing = f"folder {folder} ({key}.data_prefix.{prefix}) does not exist"
            advice = conversion_advice(built.data_root, "label-maps")
            if advice:
                raise FileNotFoundError(f"{missing}; {advice}")
            raise FileNotFoundError(
                f"{missing}: name the folder of label maps by {dataset.argument}, such as "
                "annotations/training with its images in images/training"
            )
    if built.ann_file and not Path(built.ann_file).exists():
        raise FileNotFoundError(f"list {built.ann_file} ({key}.ann_file) does not exist")
    pairs = built.load_data_list()
    images = built.data_prefix["img_path"]
    if not pairs:
        raise ValueError(
            f"{images} ({key}.data_prefix.img_path) has no image that ends in "
            f"{built.img_suffix}: {dataset.argument} names another folder, {key}.img_suffix "
            "another ending"
        )
    if not built.ann_file:
        _check_no_other_images(images, key, built.img_suffix)
    return pairs


def _check_no_other_images(folder: str, key: str, suffix: str) -> None:
    """Refuse a folder with images of other endings, which mmseg would skip silently."""
    others = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.endswith(suffix)
    )
    if others:
        raise ValueError(
            f"{folder} ({key}.data_prefix.img_path) holds {len(others)} images that do not end in "
            f"{suffix}, the first is {others[0]}; mmseg reads one ending only: convert them, or "
            "move them away"
        )


def _check_map(path: str, image: str, dataset: SplitDataset) -> bool:
    """Read a label map as mmseg does, and compare it with its image and with the classes.

    Returns:
        Whether it has a labelled pixel.
    """
    import numpy as np

    labels = read_label_map(Path(path).read_bytes(), path)
    header = read_header(image, image)
    # Both sizes are allowed, since it depends on the loader whether EXIF orientation is applied.
    if header and labels.shape[::-1] not in (header.size, header.shown_size):
        raise ValueError(
            f"label map {path} measures {labels.shape[1]} x {labels.shape[0]}, but its image "
            f"{image} {header.shown_size[0]} x {header.shown_size[1]}"
        )
    # With fewer classes than the data set's own, mmseg ignores the labels of the others.
    built = dataset.built
    classes = built.METAINFO.get("classes") or dataset.classes
    highest = len(classes) if built.reduce_zero_label else len(classes) - 1
    present = np.unique(labels).tolist()
    beyond = [label for label in present if highest < label != IGNORED]
    if beyond:
        zero = "0 is unlabelled, the classes begin at 1" if built.reduce_zero_label else "from 0"
        raise ValueError(
            f"label map {path} holds label {beyond[0]}, but {dataset.key} has {len(classes)} "
            f"classes ({zero}; {IGNORED} is ignored): name them all by `classes`"
        )
    learned = learned_labels(built)
    return any(0 <= learned[label] < len(dataset.classes) for label in present)
