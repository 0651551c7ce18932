"""List the workarounds, and decide which are switched off."""

from __future__ import annotations

import os
from collections.abc import Collection

VARIABLE = "CONVNEXT_DENSE_UPSTREAM_OFF"
# Files of this folder, and the modules that each changes when they are imported.
MENDS = {
    "bitmap_masks": ("mmdet.structures.mask.structures",),
    "config_format": ("mmengine.config.config",),
    "own_configs": ("mmengine.config.utils", "mmengine.config.config"),
    "package_paths": (
        "mmengine.utils.package_utils",
        "mmengine.utils",
        "mmengine.config.config",
        "mmengine.hub.hub",
    ),
    "resumed_config": ("mmengine.runner.runner", "mmengine.runner._flexible_runner"),
    "roi_precision": ("mmdet.models.roi_heads.roi_extractors.single_level_roi_extractor",),
    "safe_checkpoint": ("mmengine.runner.checkpoint",),
    "web_checkpoints": ("mmengine.runner.checkpoint",),
}
# Files that change something else without being called by the user.
_OTHERS = (
    "checkpoint_damage",
    "cpu_distributed",
    "file_handlers",
    "mmcv_ext",
    "registered_only",
    "whole_files",
)
SWITCHES = sorted((*MENDS, *_OTHERS))
_off: set[str] = set()


def is_off(name: str) -> bool:
    """Whether a workaround is switched off, by the environment or by :func:`switch_off`."""
    return name in _off or name in _named_by_environment()


def switch_off(names: Collection[str]) -> None:
    """Switch workarounds off for this process, in addition to those in the environment variable.

    Raises:
        ValueError: If there is no workaround of a name, here or in the environment variable.
    """
    _refuse_unknown(names, "`without`")
    _refuse_unknown(_named_by_environment(), VARIABLE)
    _off.update(names)


def _named_by_environment() -> list[str]:
    names = os.environ.get(VARIABLE, "").split(",")
    return [name.strip() for name in names if name.strip()]


def _refuse_unknown(names: Collection[str], where: str) -> None:
    for name in names:
        if name not in SWITCHES:
            raise ValueError(f"{where} has no workaround {name!r}: choose {', '.join(SWITCHES)}")
