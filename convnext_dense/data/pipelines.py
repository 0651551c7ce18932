"""Read from a config which pictures and labels its pipelines load."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import classifying_heads, find_backbone, named_class, walk
from convnext_dense.data.label_maps import IGNORED

LOADERS = ("LoadImageFromFile", "LoadPicture")
RGB = 3
PACKAGES = ("mmcv", "mmdet", "mmseg", "convnext_dense")
_CHANGING = ("ScaleValues", "RGB2Gray", "Albu", "ConcatCDInput")


def ignored_label(cfg: Config) -> int:
    """Return the label that a segmenter's loss ignores."""
    for _, head, _ in classifying_heads(cfg.model):
        return head.get("ignore_index", IGNORED)
    return IGNORED


def model_channels(model: ConfigDict) -> int:
    """Return the number of channels of the pictures that a model takes."""
    # An exported model states it itself.
    return (find_backbone(model.get("module", model)) or model).get("in_channels") or RGB


def expected_channels(cfg: Config, dataset: ConfigDict) -> int | None:
    """Return the channels that all pictures must have, or None if the pipeline may change them."""
    from mmengine.registry import TRANSFORMS

    for _, node in walk(dataset.get("pipeline") or []):
        kind = named_class(TRANSFORMS, node, cfg.get("default_scope"))
        if kind and (
            kind.__name__ in _CHANGING or kind.__module__.partition(".")[0] not in PACKAGES
        ):
            return None
    return model_channels(cfg.model)
