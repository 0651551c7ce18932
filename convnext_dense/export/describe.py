"""Collect what an exported model says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_dense.checkpoints.origin import identifying_name
from convnext_dense.config_tree import type_name, walk
from convnext_dense.data.pipelines import LOADERS, RGB, model_channels
from convnext_dense.export.graph import (
    binary_threshold,
    mask_family,
    mask_kind,
    mask_threshold,
    padding,
    sliding_window,
    swaps_channels,
)
from convnext_dense.inference.model import dataset_meta, test_dataset
from convnext_dense.limits import MOST_PIXELS
from convnext_dense.version import STACK, __version__, installed_version
from convnext_dense.zoo.licences import find_licence
from convnext_dense_runtime.metadata import Metadata, Pad, Resize

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict
    from mmengine.model import BaseModel

# Transforms that the runtime repeats, and those that change no picture.
RESIZING = ("Resize",)
PADDING = ("Pad",)
NEUTRAL = ("LoadAnnotations", "LoadLabelMap", "PackDetInputs", "PackSegInputs")
# Keys of a model's config whose types people know it by.
HEADS = ("rpn_head", "roi_head", "bbox_head", "mask_head", "panoptic_head", "decode_head")
PARTS = ("backbone", "neck", *HEADS)


def describe(
    cfg: Config,
    model: BaseModel,
    checkpoint: str,
    checkpoint_meta: dict,
    size: tuple[int, int] | None,
) -> Metadata:
    """Return the facts of a model, still without the figures of its verification.

    Args:
        cfg: The config.
        model: The model that was built from it.
        checkpoint: Path, URL or name of the weights.
        checkpoint_meta: Their ``meta``.
        size: (height, width) of the input if it is fixed.

    Raises:
        ValueError: If the test pipeline has a transform that the runtime cannot repeat, or the size
            is one that the model cannot take.
    """
    meta = dataset_meta(cfg, checkpoint_meta)
    preprocessor: Any = model.data_preprocessor
    resize, pad = read_pipeline(test_dataset(cfg).pipeline)
    channels = model_channels(cfg.model)
    if size is not None:
        resize, pad = fit_into(size, resize, pad, mean_picture(preprocessor, channels))
    divisor, _ = padding(preprocessor)
    least = max(1, int(getattr(model.backbone, "least_size", 1)) - divisor + 1)
    if size and not all(least <= side <= MOST_PIXELS for side in size):
        raise ValueError(
            f"`size` is {size[0]} x {size[1]}: the model takes height and width from {least} to "
            f"{MOST_PIXELS}"
        )
    is_detector = hasattr(model, "with_mask")
    masks = mask_kind(model) if is_detector else None
    return Metadata(
        task="detection" if is_detector else "segmentation",
        classes=tuple(meta["classes"]),
        palette=tuple(
            (int(r), int(g), int(b)) for r, g, b in (meta["palette"] or ())[: len(meta["classes"])]
        ),
        first_label=meta["first_label"],
        channels="BGR" if channels == RGB else "".join(chr(ord("a") + i) for i in range(channels)),
        color_type=str(test_dataset(cfg).pipeline[0].get("color_type", "color")),
        resize=resize,
        pad=pad,
        divisor=divisor,
        size=size,
        smallest=size or (least, least),
        score=score_threshold(cfg.model) if is_detector else 0.0,
        masks=masks,
        mask_threshold=mask_threshold(model) if masks else 0.5,
        mask_family=mask_family(model) if masks else None,
        sliding=sliding_window(cfg.model.get("test_cfg")),
        **(
            {}
            if is_detector
            else dict(align_corners=model.align_corners, threshold=binary_threshold(model))
        ),
        model=parts(cfg.model),
        licence=licence(cfg.model, checkpoint),
        source=f"{identifying_name(checkpoint)}, {Path(cfg.filename or 'a config').stem}",
        versions=versions(),
    )


def read_pipeline(steps: list[ConfigDict]) -> tuple[Resize, Pad | None]:
    """Return how a test pipeline changes the size of pictures.

    Raises:
        ValueError: If it has a transform that the runtime cannot repeat; the message names it.
    """
    resize, pad = Resize(None), None
    for number, step in enumerate(steps):
        kind, scale = type_name(step), step.get("scale")
        if number == 0 and kind in LOADERS:
            continue
        if kind in RESIZING and scale is not None and step.get("backend", "cv2") == "cv2":
            width, height = scale if isinstance(scale, (tuple, list)) else (scale, scale)
            resize = Resize(
                (int(width), int(height)),
                bool(step.get("keep_ratio", False)),
                step.get("interpolation", "bilinear"),
            )
        elif kind in PADDING and step.get("size") is not None:
            value = step.get("pad_val", 0)
            value = value.get("img", 0) if isinstance(value, dict) else value
            values = value if isinstance(value, (tuple, list)) else (value,) * RGB
            width, height = step.size
            pad = Pad((int(height), int(width)), tuple(map(float, values)))
        elif kind not in NEUTRAL:
            known = ", ".join((LOADERS[0], *RESIZING, *PADDING, *NEUTRAL))
            raise ValueError(
                f"the test pipeline has {kind}({_arguments(step)}), which cannot be exported: "
                f"{known} can, Resize with a scale by OpenCV and Pad with a size"
            )
    return resize, pad


def _arguments(step: ConfigDict) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in step.items() if key != "type")


def mean_picture(preprocessor: Any, channels: int) -> tuple[float, ...]:  # noqa: ANN401
    """Return the values, in the order of the input, that a data preprocessor makes 0."""
    if not preprocessor._enable_normalize:
        return (0.0,) * channels
    mean = preprocessor.mean.flatten().expand(channels).tolist()
    return tuple(mean[::-1] if swaps_channels(preprocessor) else mean)


def fit_into(
    size: tuple[int, int], resize: Resize, pad: Pad | None, mean: tuple[float, ...]
) -> tuple[Resize, Pad | None]:
    """Return how pictures become an input of a fixed (height, width).

    Where they keep their ratio, the rest is filled as the pipeline does, or else with the mean.
    """
    height, width = size
    keep_ratio = resize.keep_ratio or resize.scale is None
    fitted = Resize((width, height), keep_ratio, resize.interpolation, turned=False)
    return fitted, Pad(size, pad.value if pad else mean) if keep_ratio else None


def score_threshold(model: ConfigDict) -> float:
    """Return the score that detections exceed: the last one's of a two-stage detector."""
    options = model.get("test_cfg") or {}
    return float((options.get("rcnn") or options).get("score_thr", 0.0))


def parts(model: ConfigDict) -> str:
    """Return the types of a model and of its parts, such as ``FasterRCNN: ConvNeXt, FPN, ...``."""
    found: dict[str, int] = {}
    for path, node in walk(model):
        names = [name for name in path.split(".") if not name.isdigit()]
        if "type" in node and names[-1] in PARTS:
            kind = type_name(node)
            if kind == "ConvNeXt":
                kind += f" {node.get('arch', 'tiny')}"
            found.setdefault(kind, PARTS.index(names[-1]))
    return f"{type_name(model)}: {', '.join(sorted(found, key=found.__getitem__))}"


def licence(model: ConfigDict, checkpoint: str) -> str:
    """Return the licence of the weights, or of those that the training began with."""
    if known := find_licence(
        identifying_name(checkpoint) if "://" not in checkpoint else checkpoint
    ):
        return str(known)
    begun = (model.get("backbone", {}).get("init_cfg") or {}).get("checkpoint") or ""
    known = find_licence(str(begun))
    return f"of the weights that the training began with: {known}" if known else ""


def versions() -> dict[str, str]:
    """Return the versions of the packages that write the file."""
    found = {"convnext-dense": __version__}
    for module, distributions in {**STACK, "onnx": ("onnx",)}.items():
        version = next(filter(None, map(installed_version, distributions)), None)
        if version:
            found[module] = version
    return found
