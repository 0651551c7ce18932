"""Tiny detectors and segmenters whose scores are distinct."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from benchmarks.random_weights import spread_weights
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import SWAP, plan_run
from convnext_dense.config_tree import walk
from convnext_dense.patches import enable

CLASSES = ("cat", "dog", "bird", "fish", "horse")
SMALLER = {1024: 64, 512: 64, 256: 64, 128: 64, 96: 32}
FEWER = dict(nms_pre=200, max_per_img=40)
WIDTHS = ("in_channels", "out_channels", "feat_channels", "conv_out_channels", "fc_out_channels")


def tiny_config(name: str, scale=(128, 96), narrow=True, **overrides) -> Config:
    """Return a config of mmdet or mmseg with few channels and classes over ConvNeXt-atto.

    ``narrow=False`` leaves the widths of heads as they are, for heads that name them otherwise.
    """
    enable()
    is_segmenter = name.startswith("mmseg::")
    classes = None if is_segmenter else CLASSES  # a data set of mmseg knows its own alone
    options = RunOptions(name, backbone="atto", weights="none", classes=classes)
    cfg = plan_run(options, SWAP).config
    for path, node in walk(cfg.model, "model"):
        if "backbone" in path:
            continue
        for key in WIDTHS if narrow else ():
            if isinstance(node.get(key), int):
                node[key] = SMALLER.get(node[key], node[key])
        if "num_classes" in node:
            node["num_classes"] = len(CLASSES)
    for _, node in walk(cfg.model.get("test_cfg") or {}):
        for key, most in FEWER.items():
            if key in node:
                node[key] = most
    cfg.merge_from_dict(overrides)
    for _, node in walk(cfg.test_dataloader.dataset):
        if node.get("type") == "Resize":
            node["scale"] = scale
    if is_segmenter:
        cfg.test_dataloader.dataset["type"] = "BaseSegDataset"
    cfg.test_dataloader.dataset["metainfo"] = dict(classes=CLASSES)
    return cfg


def build(cfg: Config, seed: int = 0) -> nn.Module:
    """Return the model of a config with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    spread_weights(model, seed)
    return model.eval()
