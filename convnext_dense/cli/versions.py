"""``--version``: the versions of this package and of what it stands on."""

from __future__ import annotations

import argparse
import platform

from convnext_dense.cli.output import print_text
from convnext_dense.version import STACK, __version__, installed_version


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
    found = ((name, installed_version(name)) for name in names)
    shown = (f"{name} {version}" for name, version in found if version)
    return next(shown, f"{module} is not installed")
