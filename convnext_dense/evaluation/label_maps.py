"""Compute mIoU from two folders of label maps, by mmseg's IoUMetric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from convnext_dense.data.label_maps import IGNORED, check_number_of_classes, read_label_map
from convnext_dense.evaluation.figures import Figures
from convnext_dense.evaluation.map_files import first_few, pair_label_maps


def evaluate_label_maps(
    pred_dir: str | Path,
    gt_dir: str | Path,
    classes: Sequence[str],
    *,
    reduce_zero_label: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Figures:
    """Compare each PNG of labels in or below a folder with the PNG of the same path in another.

    Args:
        pred_dir: The predictions, uint8.
        gt_dir: The truth, uint8; pixels of 255 are not counted.
        classes: Names of the classes, in the order of the labels.
        reduce_zero_label: Whether 0 means unlabelled in both folders and the labels begin at 1, as
            in ADE20K. A pixel that is predicted as unlabelled is a miss.
        progress: Called with the number of compared maps, and of all.

    Returns:
        mIoU, mAcc and aAcc in percent, and IoU and Acc of each class.

    Raises:
        FileNotFoundError: If a folder is missing or has no PNG, or a prediction is missing.
        ValueError: If a map cannot be read, is not a map of labels, has another size than the
            truth, has a label without a class, or has no truth; if no map of the truth has a
            labelled pixel; or if there are more classes than a map can distinguish.
    """
    from convnext_dense.evaluation.iou_metric import BenchmarkIoUMetric, figures_of_areas

    check_number_of_classes(classes, reduce_zero_label, "this evaluation")
    pairs = pair_label_maps(Path(pred_dir), Path(gt_dir))
    areas = []
    for number, (pred_file, gt_file) in enumerate(pairs, 1):
        truth = read_labels(gt_file, len(classes), reduce_zero_label)
        pred = read_labels(pred_file, len(classes), reduce_zero_label)
        if pred.shape != truth.shape:
            (height, width), (gt_height, gt_width) = pred.shape, truth.shape
            raise ValueError(
                f"{pred_file} is {width} x {height} pixels, but its truth {gt_file} is "
                f"{gt_width} x {gt_height}: predictions must have the size of the image"
            )
        maps = torch.from_numpy(pred), torch.from_numpy(truth)
        areas.append(BenchmarkIoUMetric.intersect_and_union(*maps, len(classes), IGNORED))
        if progress:
            progress(number, len(pairs))
    return figures_of_areas(areas, classes)


def read_labels(file: Path | bytes, num_classes: int, reduce_zero_label: bool) -> np.ndarray:
    """Read a map of labels from 0 to ``num_classes - 1``, and 255 for unlabelled pixels.

    Args:
        file: A PNG of one channel, or its content.
        num_classes: How many classes there are.
        reduce_zero_label: Whether the file's labels begin at 1, and 0 becomes 255.

    Returns:
        (H, W), uint8.

    Raises:
        ValueError: If it cannot be read, has several channels, or has a label without a class.
    """
    if isinstance(file, bytes):
        name, content = "a prediction", file
    else:
        name, content = str(file), file.read_bytes()
    labels = read_label_map(content, name)
    if reduce_zero_label:
        # As in mmseg's LoadAnnotations, unlabelled pixels become ignored ones.
        labels = np.where(labels == IGNORED, IGNORED, labels - np.uint8(1))
    wrong = np.unique(labels[(labels >= num_classes) & (labels != IGNORED)])
    if wrong.size:
        values = wrong.astype(int) + reduce_zero_label
        hint = ""
        if not reduce_zero_label and values.tolist() == [num_classes]:
            hint = "; if labels begin at 1 and 0 is unlabelled, give `reduce_zero_label=True`"
        raise ValueError(
            f"{name} has labels out of range: {first_few(values)}; {num_classes} classes have "
            f"{int(reduce_zero_label)} to {num_classes - 1 + reduce_zero_label}, and {IGNORED} is "
            f"not counted{hint}"
        )
    return labels
