"""Read label maps: pictures with one channel of 8 bits that holds the class of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.data.decoding import Header, any_size, read_header

if TYPE_CHECKING:
    from mmseg.datasets import BaseSegDataset

IGNORED = 255
# Pillow's modes with one channel of whole numbers.
_ONE_CHANNEL = ("1", "L", "P", "I")


def check_number_of_classes(classes: Sequence[str], reduce_zero_label: bool, owner: str) -> None:
    """Refuse more classes than 8 bits can hold beside the ignored label.

    Args:
        classes: Names of the classes.
        reduce_zero_label: Whether 0 means unlabelled in the maps.
        owner: Beginning of the message: what has the classes.

    Raises:
        ValueError: If there are more than 255 classes, or 254 if 0 means unlabelled.
    """
    most = IGNORED - int(reduce_zero_label)
    if len(classes) > most:
        unlabelled = "0 means unlabelled and " if reduce_zero_label else ""
        raise ValueError(
            f"{owner} has {len(classes)} classes, but the 8 bits of a label map, as mmseg reads "
            f"it, can hold {most}: {unlabelled}{IGNORED} is ignored; merge classes, or train a "
            "model for each part of them"
        )


def check_label_header(header: Header | None, path: str) -> Header:
    """Return the header of a label map, or refuse the file because of its header.

    Raises:
        ValueError: If it is not a picture, or holds colours or fractions.
    """
    if header is None:
        raise ValueError(not_whole(path))
    if header.mode == "F":
        raise ValueError(f"label map {path} holds fractions: a label is a whole number")
    if not is_one_channel(header):
        raise ValueError(
            f"label map {path} is a colour picture (mode {header.mode}): a map of labels has one "
            "channel that holds the label of each pixel"
        )
    return header


def not_whole(path: str, error: Exception | None = None) -> str:
    """Return the message for a label map that is damaged, cut off or not a picture."""
    reason = " ".join(str(error or "it cannot be decoded").split())
    return f"label map {path} is not a whole {Path(path).suffix[1:].upper() or 'picture'}: {reason}"


def is_one_channel(header: Header) -> bool:
    """Whether a picture has one channel of whole numbers."""
    return header.mode in _ONE_CHANNEL or header.mode.startswith("I;")


def read_label_map(content: bytes, path: str) -> np.ndarray:
    """Read a label map as mmseg does, and refuse labels that do not fit in its 8 bits.

    Args:
        content: The file's bytes.
        path: Path of the file, for messages.

    Returns:
        (H, W) uint8: the labels in the file.

    Raises:
        ValueError: If it cannot be read, is not a label map, or a label is not from 0 to 255.
    """
    import mmcv

    check_label_header(read_header(content, path), path)
    try:
        with any_size():
            labels = mmcv.imfrombytes(content, flag="unchanged", backend="pillow")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(not_whole(path, error)) from error
    if labels.dtype not in (np.uint8, np.bool_):
        wide = np.unique(labels[(labels < 0) | (labels > IGNORED)])
        if wide.size:
            raise ValueError(
                f"label map {path} holds label {wide[0]}: mmseg reads only 8 bits, in which a "
                f"label above {IGNORED} becomes another one; write labels from 0 to {IGNORED}, "
                f"where {IGNORED} is ignored"
            )
    return labels.astype(np.uint8)


def learned_labels(dataset: BaseSegDataset) -> dict[int, int]:
    """Return the label that mmseg's LoadAnnotations makes from each value of a label map."""
    labels = {value: value for value in range(256)}
    if dataset.reduce_zero_label:
        labels = {value: value - 1 for value in labels}
        labels[0] = labels[IGNORED] = IGNORED
    if dataset.label_map:
        labels = {value: dataset.label_map.get(label, label) for value, label in labels.items()}
    return labels
