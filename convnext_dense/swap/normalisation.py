"""Set the normalisation of the images that the weights expect, everywhere in a config."""

from __future__ import annotations

from convnext_dense.checkpoints.origin import CLIP, IMAGENET, normalisation_for
from convnext_dense.config_tree import type_name, walk
from convnext_dense.swap.edits import Edits

WHY = "RGB, with the mean and deviation that the weights expect"
WRAPPERS = ("MultiBranchDataPreprocessor",)
# Transforms that fill borders with the mean, so that the normalised border is 0.
FILLING = ("Expand", "RandomCenterCropPad")


def set_normalisation(edits: Edits, weights: str) -> None:
    """Set mean, deviation and channel order in every data preprocessor and pipeline.

    Args:
        edits: The config and its changes.
        weights: The new backbone's weights; empty for none, which sets ImageNet's values.
    """
    mean, std = map(list, normalisation_for(weights))
    preprocessors = [
        (path, node)
        for path, node in walk(edits.cfg)
        if path.rpartition(".")[2] == "data_preprocessor" and type_name(node) not in WRAPPERS
    ]
    for path, node in preprocessors:
        edits.set(path, node, "mean", mean, WHY)
        edits.set(path, node, "std", std, WHY)
        edits.set(path, node, "bgr_to_rgb", True, WHY)
        edits.drop(path, node, "rgb_to_bgr", WHY)
    if not preprocessors:
        edits.warn(
            "the config has no data_preprocessor: the images are not normalised, but the weights "
            f"expect RGB with mean {mean} and deviation {std}"
        )
    for path, node in walk(edits.cfg):
        if type_name(node) in FILLING and "mean" in node:
            edits.set(path, node, "mean", mean, WHY)
            edits.set(path, node, "to_rgb", True, WHY)
            if "std" in node:
                edits.set(path, node, "std", std, WHY)


def update_normalisation(edits: Edits, weights: str) -> None:
    """Change ImageNet's normalisation or CLIP's to that which other weights expect.

    Other values are the user's own, for other images, and are not changed.

    Args:
        edits: A config with a ConvNeXt, and its changes.
        weights: The weights that the backbone will start from.
    """
    wanted = normalisation_for(weights)
    others = [list(known[0]) for known in (IMAGENET, CLIP) if known != wanted]
    for path, node in walk(edits.cfg):
        if "mean" not in node or list(node["mean"] or ()) not in others:
            continue
        edits.set(path, node, "mean", list(wanted[0]), WHY)
        if "std" in node:
            edits.set(path, node, "std", list(wanted[1]), WHY)
