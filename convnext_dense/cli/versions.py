"""``--version``: the versions of this package and of what it stands on."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

from convnext_dense.cli.output import print_text
from convnext_dense.version import __version__

# Distributions by the module that they bring; the first that is installed counts.
STACK = {
    "torch": ("torch",),
    "mmengine": ("mmengine", "mmengine-lite", "onedl-mmengine"),
    "mmcv": ("mmcv", "mmcv-lite", "onedl-mmcv"),
    "mmdet": ("mmdet", "onedl-mmdetection"),
    "mmseg": ("mmsegmentation", "onedl-mmsegmentation"),
}


class VersionAction(argparse.Action):
    """Print the versions and end; its ``nargs`` is 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print them."""
        print_text(f"convnext-dense {__version__}")
        print_text(f"Python {platform.python_version()}")
        for module, names in STACK.items():
            print_text(_installed(module, names))
        parser.exit()


def _installed(module: str, names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return f"{module} is not installed"
