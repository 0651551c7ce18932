"""Make the loaders of a config check each picture and label map that they read."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import (
    SPLITS,
    datasets,
    reads_label_maps,
    transforms,
    type_name,
    walk,
)
from convnext_dense.data.pipelines import LOADERS, RGB, ignored_label, model_channels

# Transforms that convert to hue and saturation, which needs three channels.
_FOR_COLOUR = ("PhotoMetricDistortion", "YOLOXHSVRandomAug")
# After these transforms, a sample is no longer a dict with one picture.
_PACKING = ("Pack", "TestTimeAug", "MultiBranch", "ImageToTensor", "Collect")


def use_checked_loading(cfg: Config) -> None:
    """Replace the loading transforms of mmcv and mmseg by our checked ones.

    Args:
        cfg: Changed in place: the pipelines of all loaders, and of hooks that switch them.

    Raises:
        ValueError: If the data preprocessor or a transform does not accept the model's channels.
    """
    channels = model_channels(cfg.model)
    check_preprocessor(cfg.model, channels)
    for pipeline in list(_pipelines(cfg)):
        check_channels(pipeline, channels)
    for _, node in list(transforms(cfg)):
        check_pictures(node)
    for split in SPLITS:
        for key, dataset in datasets(cfg, split):
            if reads_label_maps(dataset):
                _check_labels(cfg, key, dataset)


def check_pictures(node: ConfigDict) -> None:
    """Replace a transform that loads pictures by our checked one; others are not changed."""
    if type_name(node) in LOADERS:  # the config of a run names ours
        from convnext_dense.data import loading  # noqa: F401  registers itself

        node["type"] = "LoadPicture"


def _check_labels(cfg: Config, key: str, dataset: ConfigDict) -> None:
    from convnext_dense.data.check import build_without_annotations

    loaders = [node for _, node in walk(dataset.get("pipeline")) if _loads_label_maps(node)]
    if not loaders:
        return
    from convnext_dense.data import loading_labels  # noqa: F401  registers itself

    number = len(build_without_annotations(cfg, key, dataset).metainfo["classes"])
    for node in loaders:
        node.update(type="LoadLabelMap", num_classes=number, ignored=ignored_label(cfg))


def _loads_label_maps(node: ConfigDict) -> bool:
    kind = node.get("type")
    if not isinstance(kind, str):
        return getattr(kind, "__module__", "").startswith("mmseg.") and type_name(node) == (
            "LoadAnnotations"
        )
    return kind in ("LoadAnnotations", "mmseg.LoadAnnotations")


def check_preprocessor(model: ConfigDict, channels: int) -> None:
    """Refuse a data preprocessor that does not fit the number of the model's channels.

    Raises:
        ValueError: If it does not fit; the message names its key.
    """
    preprocessor = model.get("module", model).get("data_preprocessor") or {}
    # mmseg's preprocessor swaps channels only if there are three.
    swaps = [key for key in ("bgr_to_rgb", "rgb_to_bgr") if preprocessor.get(key)]
    if channels != RGB and swaps and type_name(preprocessor) != "SegDataPreProcessor":
        raise ValueError(
            f"model.data_preprocessor.{swaps[0]} keeps three channels, but "
            f"model.backbone.in_channels is {channels}: set it to False"
        )
    for key in ("mean", "std"):
        values = preprocessor.get(key)
        if values is not None and len(values) not in (1, channels):
            raise ValueError(
                f"model.data_preprocessor.{key} has {len(values)} values, but "
                f"model.backbone.in_channels is {channels}: give one value for all channels"
                + (f", or {channels}" if "Seg" in type_name(preprocessor) else "")
            )


def check_channels(pipeline: list[ConfigDict], channels: int) -> None:
    """Add a check after each transform that the picture keeps the model's number of channels.

    Pictures that are loaded in colour for a model with three channels need no check.

    Args:
        pipeline: Changed in place.
        channels: Number of channels that the model takes.

    Raises:
        ValueError: If a transform works only on pictures with three channels.
    """
    loads = [n.get("color_type", "color") for n in pipeline if type_name(n) in LOADERS]
    is_plain = not loads or all(flag.startswith("color") for flag in loads)
    if (channels == RGB and is_plain) or any(type_name(n) == "CheckChannels" for n in pipeline):
        return
    from convnext_dense.data import loading  # noqa: F401  registers itself

    kinds = [type_name(node) for _, node in walk(pipeline)]
    colourful = next((kind for kind in kinds if kind in _FOR_COLOUR), None)
    if channels != RGB and colourful:
        raise ValueError(
            f"{colourful} works on pictures with three channels, but model.backbone.in_channels is "
            f"{channels}: remove it from the pipeline"
        )
    kinds = [type_name(node) for node in pipeline]
    end = next((i for i, kind in enumerate(kinds) if kind.startswith(_PACKING)), len(kinds))
    packs = end < len(kinds)
    start = next((i for i, kind in enumerate(kinds[:end]) if kind.startswith("LoadImage")), 0)
    for index in range(end - 1, start - 1, -1):
        last = packs and index == end - 1
        check = dict(type="CheckChannels", channels=channels, after=kinds[index], last=last)
        pipeline.insert(index + 1, ConfigDict(check))


def _pipelines(cfg: Config) -> Iterator[list[ConfigDict]]:
    """Yield every pipeline of the loaders and hooks."""
    for key in list(cfg):
        if key.endswith("_dataloader") or key == "custom_hooks":
            for _, node in walk(cfg[key], key):
                for name in ("pipeline", "switch_pipeline"):
                    if isinstance(node.get(name), list):
                        yield node[name]
