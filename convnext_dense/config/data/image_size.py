"""Apply ``img_size``: scale every size in the pipelines and the model by one factor."""

from __future__ import annotations

import math

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import datasets, reads_label_maps, transforms, type_name, walk

_SIZE_KEYS = (
    "scale",
    "scales",
    "crop_size",
    "img_scale",
    "size",
    "max_size",
    "border",
    "random_size_range",
)


# Of the published models. Necks that join the maps of neighbouring stages, such as RTMDet's, need
# images padded to a multiple of it.
LARGEST_STRIDE = 32


def set_image_size(cfg: Config, size: int) -> None:
    """Scale all image sizes of training, validation, test and test-time augmentation.

    For a detector, ``size`` is the short side of the test images, 800 in the published recipes; the
    training scales, the long side and the crops are scaled by the same factor. For a segmenter it
    is the short side of the training crop, 512 or 640 in the published recipes; the resizing, and
    the window and stride of a sliding test are scaled by the same factor.

    Args:
        cfg: Changed in place.
        size: Pixels, at least 32.

    Raises:
        ValueError: If the size is too small, or the config states no size to start from.
    """
    if size < LARGEST_STRIDE:
        raise ValueError(f"`img_size` is at least {LARGEST_STRIDE} pixels, got {size}")
    segments = any(reads_label_maps(dataset) for _, dataset in datasets(cfg, "train"))
    factor = size / (training_crop(cfg) if segments else test_short_side(cfg))
    for _, transform in transforms(cfg):
        _scale(transform, factor)
        if type_name(transform) == "Pad" and transform.get("size"):
            transform.size = _round_up(transform.size, LARGEST_STRIDE)
    preprocessor = cfg.model.get("data_preprocessor") or {}
    for _, node in walk(preprocessor):
        _scale(node, factor)
        if type_name(node) == "BatchFixedSizePad":
            # Images are padded to multiples of the divisor, so the fixed size must be one too.
            divisor = preprocessor.get("pad_size_divisor", 1)
            node["size"] = _round_up(node["size"], divisor)
    test_cfg = ConfigDict() if cfg.model.get("test_cfg") is None else cfg.model.test_cfg
    if test_cfg.get("mode") == "slide":
        old_crop, old_stride = test_cfg.crop_size, test_cfg.stride
        test_cfg.crop_size = _scaled(old_crop, factor)
        if old_stride == _two_thirds(old_crop):
            test_cfg.stride = _two_thirds(test_cfg.crop_size)
        else:
            test_cfg.stride = _scaled(old_stride, factor)


def training_crop(cfg: Config) -> int:
    """Return the short side of a segmenter's training crop in pixels."""
    return _short_side(cfg, "train", "RandomCrop", "crop_size")


def test_short_side(cfg: Config) -> int:
    """Return the short side to which a detector's test images are resized, in pixels."""
    return _short_side(cfg, "test", "Resize", "scale")


def _short_side(cfg: Config, split: str, kind: str, key: str) -> int:
    loader = f"{split}_dataloader"
    for _, node in walk(cfg.get(loader)):
        if type_name(node).endswith(kind) and node.get(key):
            return node[key] if isinstance(node[key], int) else min(node[key])
    raise ValueError(
        f"`img_size`: {loader} has no {kind} with {key} to start from: set the sizes in a config"
    )


def _scale(node: ConfigDict, factor: float) -> None:
    """Scale the sizes of a transform or preprocessor, unless they are relative to the image."""
    if str(node.get("crop_type", "")).startswith("relative"):
        return
    for key in _SIZE_KEYS:
        if node.get(key) is not None:
            node[key] = _scaled(node[key], factor)
    if "scales" in node:
        node.scales = list(dict.fromkeys(node.scales))


def _scaled(value: int | list | tuple, factor: float) -> int | list | tuple:
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(item, factor) for item in value)
    return round(value * factor)


def _round_up(size: tuple[int, int], divisor: int) -> tuple[int, ...]:
    return tuple(math.ceil(side / divisor) * divisor for side in size)


def _two_thirds(value: int | tuple) -> int | tuple:
    """Return the published stride of a sliding window: 341 of 512, 426 of 640."""
    return value * 2 // 3 if isinstance(value, int) else tuple(side * 2 // 3 for side in value)
