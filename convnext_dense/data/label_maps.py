"""A label map: one channel that holds the class of each pixel, in the 8 bits that mmseg reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convnext_dense.data.decoding import Header, any_size, read_header

if TYPE_CHECKING:
    from mmseg.datasets import BaseSegDataset

IGNORED = 255
# Of Pillow: one channel of whole numbers.
_ONE_CHANNEL = ("1", "L", "P", "I")


def check_number_of_classes(classes: Sequence[str], reduce_zero_label: bool, owner: str) -> None:
    """Refuse more classes than 8 bits tell apart beside the label that is ignored.

    Args:
        classes: Their names.
        reduce_zero_label: Whether 0 means unlabelled in the maps.
        owner: Who has them, for the message.

    Raises:
        ValueError: Where there are more than 255, or 254 where 0 means unlabelled.
    """
    most = IGNORED - int(reduce_zero_label)
    if len(classes) > most:
        unlabelled = "0 means unlabelled and " if reduce_zero_label else ""
        raise ValueError(
            f"{owner} has {len(classes)} classes, but the 8 bits of a label map, as mmseg reads "
            f"it, tell {most} apart: {unlabelled}{IGNORED} is ignored; join classes, or train a "
            "model for each part of them"
        )


def check_label_header(header: Header | None, path: str) -> Header:
    """Return the header of a label map, or refuse the file by it.

    Raises:
        ValueError: Where it is no picture, or one of colours or of fractions.
    """
    if header is None:
        raise ValueError(f"label map {path} is {no_whole_picture(path)}")
    if header.mode == "F":
        raise ValueError(f"label map {path} holds fractions: a label is a whole number")
    if not is_one_channel(header):
        raise ValueError(
            f"label map {path} is a colour picture (mode {header.mode}): a map of labels has one "
            "channel that holds the label of each pixel"
        )
    return header


def no_whole_picture(path: str, error: Exception | None = None) -> str:
    """Return what a label map is that is damaged, cut off or another file: "no whole PNG"."""
    reason = " ".join(str(error or "it cannot be decoded").split())
    return f"no whole {Path(path).suffix[1:].upper() or 'picture'}: {reason}"


def is_one_channel(header: Header) -> bool:
    """Whether a picture has one channel of whole numbers."""
    return header.mode in _ONE_CHANNEL or header.mode.startswith("I;")


def read_label_map(content: bytes, path: str) -> np.ndarray:
    """Read a label map as mmseg does, and refuse what would become another label in its 8 bits.

    Args:
        content: The file's bytes.
        path: The file, for messages.

    Returns:
        (H, W) uint8: the labels as they are in the file.

    Raises:
        ValueError: Where it cannot be read, is no label map, or a label is not from 0 to 255.
    """
    import mmcv

    check_label_header(read_header(content, path), path)
    try:
        with any_size():
            labels = mmcv.imfrombytes(content, flag="unchanged", backend="pillow")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"label map {path} is {no_whole_picture(path, error)}") from error
    if labels.dtype not in (np.uint8, np.bool_):
        wide = np.unique(labels[(labels < 0) | (labels > IGNORED)])
        if wide.size:
            raise ValueError(
                f"label map {path} holds label {wide[0]}: mmseg reads 8 bits, in which a label "
                f"above {IGNORED} becomes another one; write labels from 0 to {IGNORED}, where "
                f"{IGNORED} is ignored"
            )
    return labels.astype(np.uint8)


def learned_labels(dataset: BaseSegDataset) -> dict[int, int]:
    """Return the label that mmseg's LoadAnnotations makes of each value of a uint8 label map."""
    labels = {value: value for value in range(256)}
    if dataset.reduce_zero_label:
        labels = {value: value - 1 for value in labels}
        labels[0] = labels[IGNORED] = IGNORED
    if dataset.label_map:
        labels = {value: dataset.label_map.get(label, label) for value, label in labels.items()}
    return labels
