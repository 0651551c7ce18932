"""Decide which workarounds are switched off."""

from __future__ import annotations

import os
from collections.abc import Collection

VARIABLE = "CONVNEXT_DENSE_UPSTREAM_OFF"
# Files of this folder that change something without being called by the user.
SWITCHES = (
    "bitmap_masks",
    "checkpoint_damage",
    "config_format",
    "cpu_distributed",
    "file_handlers",
    "mmcv_ext",
    "own_configs",
    "package_paths",
    "registered_only",
    "resumed_config",
    "roi_precision",
    "safe_checkpoint",
    "web_checkpoints",
    "whole_files",
)
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
