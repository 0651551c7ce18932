"""The version, which packaging and the package read from here, and those of other packages."""

from __future__ import annotations

__version__ = "0.1.0"

# Distributions by the module that they bring. Those of one module overwrite each other's files.
STACK = {
    "torch": ("torch",),
    "mmengine": ("mmengine", "mmengine-lite", "onedl-mmengine"),
    "mmcv": ("mmcv", "mmcv-lite", "onedl-mmcv"),
    "mmdet": ("mmdet", "onedl-mmdetection"),
    "mmseg": ("mmsegmentation", "onedl-mmsegmentation"),
}


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    from importlib import metadata  # not at the start of every tool

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
