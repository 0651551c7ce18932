"""Read what a folder of the hub says beside its weights: their name, and the images they expect.

Written by timm's ``save_for_hf`` and ``push_to_hf_hub`` (``config.json``), by transformers' image
processors (``preprocessor_config.json``) and by open_clip (``open_clip_config.json``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convnext_dense.checkpoints.shards import FILES
from convnext_dense.zoo.weights import CLIP, IMAGENET, Normalisation

# A classifier's config holds the names of its classes.
_MOST_BYTES = 16 * 2**20
# Where each library keeps mean and deviation, which are for images of 0 to 1.
_PLACES = (
    ("config.json", ("pretrained_cfg",), "mean", "std"),
    ("preprocessor_config.json", (), "image_mean", "image_std"),
    ("open_clip_config.json", ("preprocess_cfg",), "mean", "std"),
)


def hub_folder(path: Path) -> Path | None:
    """Return the folder of the hub that a path names, or that its file lies in; None if neither."""
    if path.is_dir():
        return path
    return path.parent if path.name in FILES else None


def told_normalisation(folder: Path) -> Normalisation | None:
    """Return the mean and standard deviation that a folder states, or None.

    Returns:
        For images of 0 to 255.
    """
    for file, keys, mean, std in _PLACES:
        settings = _read(folder / file)
        for key in keys:
            settings = _mapping(settings.get(key))
        found = _scaled(settings.get(mean)), _scaled(settings.get(std))
        if len(found[0]) == len(found[1]) > 0 and min(found[1]) > 0:
            return next((known for known in (IMAGENET, CLIP) if _alike(known, found)), found)
    return None


def told_model(folder: Path) -> str | None:
    """Return the hub id of timm's model that a folder says it is, or None."""
    config = _read(folder / "config.json")
    arch, tag = config.get("architecture"), _mapping(config.get("pretrained_cfg")).get("tag")
    return f"timm/{arch}.{tag}" if arch and tag and f"{arch}{tag}".isascii() else None


def told_class(folder: Path) -> str | None:
    """Return the class of transformers' model that a folder says it is, or None."""
    listed = _read(folder / "config.json").get("architectures")
    name = listed[0] if isinstance(listed, list) and len(listed) == 1 else None
    return name if isinstance(name, str) and name.isidentifier() else None


def _read(file: Path) -> Mapping[str, Any]:
    """Return the content of a JSON file; empty where it is missing or damaged."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            return {}
        return _mapping(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _scaled(values: object) -> tuple[float, ...]:
    numbers = values if isinstance(values, list) else []
    if not all(type(one) in (int, float) and math.isfinite(one) for one in numbers):
        return ()
    return tuple(round(255 * one, 4) for one in numbers)


def _alike(known: Normalisation, found: Normalisation) -> bool:
    pairs = zip(known, found, strict=True)
    return all(len(a) == len(b) and math.dist(a, b) < 0.01 for a, b in pairs)
