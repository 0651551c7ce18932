"""Check a segmenter's images and label maps thoroughly, and count the pixels of each class."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.config_tree import type_name, walk
from convnext_dense.data.audit.pictures import (
    Picture,
    PictureCheck,
    check_picture,
    image_loader,
    map_in_workers,
    report_pictures,
)
from convnext_dense.data.check_files import missing_files
from convnext_dense.data.check_label_maps import PAIR, list_pairs
from convnext_dense.data.decoding import any_size, read_header
from convnext_dense.data.label_maps import (
    IGNORED,
    check_number_of_classes,
    is_one_channel,
    learned_labels,
)
from convnext_dense.data.pipelines import expected_channels, ignored_label
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.split_dataset import SplitDataset
from convnext_dense.text import listed

if TYPE_CHECKING:
    from mmseg.datasets import BaseSegDataset

# Share of ignored pixels above which a data set gets a warning.
_NEARLY_ALL = 0.95
_VALUES_SHOWN = 8


@dataclass(frozen=True)
class LabelMapCheck:
    """Result of the check of a label map.

    Attributes:
        image: The check of its image.
        problem: Why it cannot be read, or None.
        colours: Whether it has several channels.
        size: (width, height).
        counts: Number of pixels by the value in the file; None if only headers are read.
    """

    image: PictureCheck
    problem: str | None = None
    colours: bool = False
    size: tuple[int, int] = (0, 0)
    counts: dict[int, int] | None = None


def audit_label_maps(
    findings: Findings, dataset: SplitDataset, fast: bool, workers: int | None
) -> tuple[list[dict], list[Picture], list[PictureCheck]]:
    """Check a data set of images and label maps, including the content of the files.

    Args:
        findings: Collects the report.
        dataset: The data set.
        fast: Whether to read only headers. Then labels are not checked.
        workers: See :func:`~convnext_dense.data.audit.pictures.map_in_workers`.

    Returns:
        A row for each class with ``class``, ``images``, ``pixels`` and their ``share`` of all
        labelled pixels in percent, no rows if ``fast``; the pictures; and their checks.

    Raises:
        FileNotFoundError: If a folder or list is missing.
        ValueError: If there are no images, or some that mmseg would not read.
    """
    cfg, config, built = dataset.cfg, dataset.config, dataset.built
    if None in built.data_prefix.values():
        findings.add_remark("the truth is not public: there are no label maps to check")
        return [], [], []
    with findings.catch_refusals():
        _check_zero_label(dataset)
    with findings.catch_refusals():
        check_number_of_classes(dataset.classes, built.reduce_zero_label, dataset.key)
    pairs = list_pairs(dataset)
    absent = set()
    for field, kind in PAIR.items():
        missing = missing_files(pair[field] for pair in pairs)
        findings.add_error(f"{kind} missing, of {len(pairs)}", missing)
        absent |= set(missing)
    findings.add_warning("label maps without an image", _without_image(built, pairs))
    pairs = [pair for pair in pairs if absent.isdisjoint(pair[field] for field in PAIR)]
    pictures = [Picture(pair["img_path"]) for pair in pairs]
    maps = [pair["seg_map_path"] for pair in pairs]
    check = functools.partial(check_pair, load=image_loader(config, "mmseg"), fast=fast)
    items = [(picture.path, file) for picture, file in zip(pictures, maps, strict=True)]
    checks = list(map_in_workers(check, items, workers, f"{findings.where}: images and label maps"))
    opened = [check.image for check in checks]
    report_pictures(findings, pictures, opened, expected_channels(cfg, config))
    report_maps(findings, maps, checks)
    rows = [] if fast else _count_pixels(findings, maps, checks, built, ignored_label(cfg))
    return rows, pictures, opened


def _check_zero_label(dataset: SplitDataset) -> None:
    """Refuse a pipeline whose ``reduce_zero_label`` differs from its data set's."""
    key, own = dataset.key, dataset.built.reduce_zero_label
    for path, node in walk(dataset.config.get("pipeline"), f"{key}.pipeline"):
        said = node.get("reduce_zero_label") if type_name(node) == "LoadAnnotations" else None
        if said not in (None, own):
            raise ValueError(
                f"{path}.reduce_zero_label is {said}, but {key}.reduce_zero_label is {own}: set "
                "both alike"
            )


def check_pair(pair: tuple[str, str], load: Callable | None, fast: bool) -> LabelMapCheck:
    """Open an image and its label map."""
    import mmcv

    image, file = check_picture(pair[0], load, fast), pair[1]
    try:
        header = read_header(file, f"label map {file}")
        if header is None:
            raise ValueError("it cannot be decoded as a picture")
        size, colours = header.size, not is_one_channel(header)
        if fast or colours:
            return LabelMapCheck(image, colours=colours, size=size)
        with any_size():
            labels = mmcv.imread(file, flag="unchanged", backend="pillow").squeeze()
    except Exception as error:  # decoders can raise anything
        return LabelMapCheck(image, problem=str(error) or type(error).__name__)
    if labels.dtype == np.uint8:
        counts = np.bincount(labels.ravel())
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(labels, return_counts=True)
    by_value = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return LabelMapCheck(image, size=size, counts=by_value)


def report_maps(findings: Findings, maps: Sequence[str], checks: Sequence[LabelMapCheck]) -> None:
    """Report label maps that cannot be read, hold colours, or have another size."""
    pairs = list(zip(maps, checks, strict=True))
    findings.add_error(
        "label maps that cannot be read", (f"{f}: {k.problem}" for f, k in pairs if k.problem)
    )
    findings.add_error(
        "label maps that hold colours: a map has one channel with a label per pixel",
        (f for f, k in pairs if k.colours),
    )
    findings.add_error(
        "label maps of another size than their image",
        (
            f"{f}: {k.size[0]} x {k.size[1]}, image {k.image.size[0]} x {k.image.size[1]}"
            for f, k in pairs
            if not k.problem and not k.image.problem and k.size != k.image.size
        ),
    )


def _count_pixels(
    findings: Findings,
    maps: Sequence[str],
    checks: Sequence[LabelMapCheck],
    dataset: BaseSegDataset,
    ignored: int,
) -> list[dict]:
    """Count the pixels of each class, and report labels that are not classes."""
    classes = dataset.metainfo["classes"]
    label_of = learned_labels(dataset)
    pixels, images = np.zeros(len(classes), np.int64), np.zeros(len(classes), np.int64)
    beyond, unlabelled = [], []
    for file, check in zip(maps, checks, strict=True):
        if check.counts is None:
            continue
        wrong, labelled = [], False
        for value, count in check.counts.items():
            label = label_of.get(value)
            if label is not None and 0 <= label < len(classes):
                pixels[label] += count
                images[label] += 1
                labelled = True
            elif label != ignored:
                wrong.append(value)
        if wrong:
            beyond.append(f"{file}: {listed(wrong, _VALUES_SHOWN)}")
        elif not labelled:
            unlabelled.append(file)
    first = int(dataset.reduce_zero_label)
    last = len(dataset.METAINFO.get("classes") or classes) - 1 + first
    zero = ", 0 is unlabelled" if first else ""
    findings.add_error(
        f"label maps with labels out of range ({first} to {last} are classes{zero}, {ignored} is "
        "ignored): a GPU stops at them with a device-side assert",
        beyond,
    )
    if unlabelled and len(unlabelled) == sum(check.counts is not None for check in checks):
        findings.add_error(f"no label map has a labelled pixel{_binary_hint(checks)}", unlabelled)
    else:
        findings.add_warning("label maps without a labelled pixel", unlabelled)
        _hint_at_ignored(findings, checks, label_of, ignored)
    absent = [name for name, number in zip(classes, pixels, strict=True) if not number]
    hint = ": where the labels begin at 0, reduce_zero_label is wrong"
    only_last = first and absent == [classes[-1]]
    findings.add_warning("classes without a pixel" + (hint if only_last else ""), absent)
    return pixel_rows(classes, images.tolist(), pixels.tolist())


def pixel_rows(classes: Sequence[str], images: Sequence[int], pixels: Sequence[int]) -> list[dict]:
    """Return the counts of each class as a row, with its share of all labelled pixels."""
    total = max(1, sum(pixels))
    return [
        {"class": name, "images": i, "pixels": n, "share": round(100 * n / total, 2)}
        for name, i, n in zip(classes, images, pixels, strict=True)
    ]


def _hint_at_ignored(
    findings: Findings, checks: Sequence[LabelMapCheck], label_of: dict[int, int], ignored: int
) -> None:
    """Report maps in which nearly nothing is labelled, or that look like black and white masks."""
    total: Counter[int] = Counter()
    for check in checks:
        total.update(check.counts or {})
    left_out = sum(n for value, n in total.items() if label_of.get(value) in (IGNORED, ignored))
    share = left_out / max(1, total.total())
    if total and set(total) <= {0, IGNORED} and IGNORED in total:
        findings.add_warning(
            f"the label maps hold only 0 and {IGNORED}{_binary_hint(checks)}", [f"{share:.1%}"]
        )
    elif share > _NEARLY_ALL:
        findings.add_warning("nearly all pixels of the label maps are ignored", [f"{share:.1%}"])


def _binary_hint(checks: Sequence[LabelMapCheck]) -> str:
    values = {value for check in checks for value in check.counts or {}}
    if values <= {0, IGNORED} and IGNORED in values:
        return (
            f": {IGNORED} is ignored, so black and white masks teach nothing; write the number of "
            f"the class instead of {IGNORED}"
        )
    return ""


def _without_image(dataset: BaseSegDataset, pairs: list[dict]) -> list[str]:
    if dataset.ann_file:
        return []  # the list selects some of the files
    used = {pair["seg_map_path"] for pair in pairs}
    folder = Path(dataset.data_prefix["seg_map_path"])
    found = (str(path) for path in folder.rglob(f"*{dataset.seg_map_suffix}"))
    return sorted(path for path in found if path not in used)
