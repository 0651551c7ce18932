"""Normalisation of the images, as the weights expect it, wherever a config has it."""

from __future__ import annotations

from convnext_dense.data.tree import type_name, walk
from convnext_dense.swap.edits import Edits

# ImageNet's, which every published ConvNeXt but the CLIP ones was trained with; RGB, in 0 to 255.
MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]
WHY = "RGB, with ImageNet's mean and deviation, as the weights expect"
WRAPPERS = ("MultiBranchDataPreprocessor",)
# Transforms that fill borders with the mean, which then becomes 0.
FILLING = ("Expand", "RandomCenterCropPad")


def set_normalisation(edits: Edits) -> None:
    """Set mean, deviation and channel order in every data preprocessor and pipeline.

    Paddings stay as they are.
    """
    preprocessors = [
        (path, node)
        for path, node in walk(edits.cfg)
        if path.rpartition(".")[2] == "data_preprocessor" and type_name(node) not in WRAPPERS
    ]
    for path, node in preprocessors:
        edits.set(path, node, "mean", MEAN, WHY)
        edits.set(path, node, "std", STD, WHY)
        edits.set(path, node, "bgr_to_rgb", True, WHY)
        edits.drop(path, node, "rgb_to_bgr", WHY)
    if not preprocessors:
        edits.warn(
            "the config has no data_preprocessor to set: the images are not normalised, and the "
            f"weights expect {WHY}"
        )
    for path, node in walk(edits.cfg):
        if type_name(node) in FILLING and "mean" in node:
            edits.set(path, node, "mean", MEAN, WHY)
            edits.set(path, node, "to_rgb", True, WHY)
            if "std" in node:
                edits.set(path, node, "std", STD, WHY)
