"""Refuse images that give a detector fewer positions than it has queries.

A two-stage DETR, such as DINO, takes its queries from the positions of its feature maps. With too
few of them torch stops in the middle of a run: "selected index k out of range".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from mmcv.image import rescale_size
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from convnext_dense.analysis.meta_device import build_without_data
from convnext_dense.config.data.image_size import test_short_side
from convnext_dense.config_tree import backbone_owner, classifying_heads, type_name

Size = tuple[int, int]

# No image is so narrow that it has only this part of the positions of a square one.
NARROWEST = 1 / 4
STEP = 32  # of the sizes that are proposed, in pixels


def check_queries(cfg: Config, split: str, loader: DataLoader) -> None:
    """Refuse a run in which some image has fewer positions than the model takes queries.

    Args:
        cfg: The run's config.
        split: ``train``, ``val`` or ``test``.
        loader: The loader of that split, whose data set knows the images' sizes.

    Raises:
        ValueError: If there is such an image, or if the model shall give more detections than its
            queries can make; the message says which numbers fit.
    """
    owner = backbone_owner(cfg.model)
    if owner is None or not owner[1].get("num_queries"):
        return
    path, model = owner
    most, wanted = _most_detections(model, model.num_queries), _wanted_detections(model)
    if split != "train" and wanted > most:
        raise ValueError(
            f"{path}.test_cfg.max_per_img is {wanted}, but {path}.num_queries={model.num_queries} "
            f"makes at most {most} detections of these classes: use "
            f"`cfg_options={ {f'{path}.test_cfg.max_per_img': most} }`"
        )
    scales = _last_scales(cfg[f"{split}_dataloader"].dataset)
    if not (model.get("as_two_stage") and scales):
        return
    count = _Positions(cfg, path, model)
    side = min(map(min, scales))
    if count((side, side)) * NARROWEST >= model.num_queries:
        return
    smallest = min(_sizes(loader.dataset, scales), key=math.prod, default=None)
    positions = count(smallest) if smallest else model.num_queries
    if smallest is None or positions >= model.num_queries:
        return
    options = {f"{path}.num_queries": positions}
    if _most_detections(model, positions) < wanted:
        options[f"{path}.test_cfg.max_per_img"] = _most_detections(model, positions)
    raise ValueError(
        f"the smallest image of {split}_dataloader becomes {smallest[0]} x {smallest[1]} pixels, "
        f"where {type_name(model)} has {positions} positions for its {model.num_queries} queries: "
        f"use `img_size={_fitting_size(cfg, count, smallest)}` or `cfg_options={options}`"
    )


class _Positions:
    """Counts the positions of a model's feature maps, from an image's height and width."""

    def __init__(self, cfg: Config, path: str, model: ConfigDict) -> None:
        self.queries = model.num_queries
        self._channels = model.backbone.get("in_channels", 3)
        whole: Any = build_without_data(cfg)
        self._extract = whole.get_submodule(path.removeprefix("model").lstrip(".")).extract_feat

    def __call__(self, size: Size) -> int:
        image = torch.empty(1, self._channels, *size, device="meta")
        with torch.no_grad():
            return sum(math.prod(features.shape[-2:]) for features in self._extract(image))


def _fitting_size(cfg: Config, count: _Positions, size: Size) -> int:
    """Return an ``img_size`` at which an image that is now of ``size`` has enough positions."""
    now = proposed = test_short_side(cfg)
    height, width = size
    while count((height * proposed // now, width * proposed // now)) < count.queries:
        proposed = (proposed // STEP + 1) * STEP
    return proposed


def _wanted_detections(model: ConfigDict) -> int:
    return (model.get("test_cfg") or {}).get("max_per_img", 0)


def _most_detections(model: ConfigDict, queries: int) -> int:
    loss = (model.get("bbox_head") or {}).get("loss_cls") or {}
    if not loss.get("use_sigmoid"):
        return queries  # one class for each
    return queries * max(number for _, _, number in classifying_heads(model))


def _sizes(dataset: BaseDataset, scales: Iterable[Size]) -> Iterator[Size]:
    """Yield the height and width of each image of a data set, at each scale."""
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        for scale in scales:
            width, height = rescale_size((info["width"], info["height"]), scale)
            yield height, width


def _last_scales(node: ConfigDict | Sequence[ConfigDict] | None) -> list[Size]:
    """Return the scales of a pipeline's last resizing, or nothing if a crop or pad follows it."""
    while isinstance(node, dict):
        node = node.get("dataset", node.get("pipeline"))
    scales: list[Size] = []
    for transform in node or ():
        kind = type_name(transform)
        if kind == "RandomChoice":
            branches = [_last_scales(branch) for branch in transform.transforms]
            scales = [scale for branch in branches for scale in branch] or scales
        elif kind.endswith("Resize") and transform.get("keep_ratio"):
            least = (transform.get("ratio_range") or (1,))[0]
            given = transform.get("scales") or [transform.scale]
            scales = [(round(long * least), round(short * least)) for long, short in given]
        elif kind.endswith(("Resize", "Crop", "Pad", "Mosaic")):
            scales = []
    return scales
