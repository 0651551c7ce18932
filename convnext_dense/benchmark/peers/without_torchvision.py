"""Imports a library whose ConvNeXt uses nothing of torchvision, which it imports all the same.

timm imports torchvision for image transforms. torchvision's builds load only beside the torch that
they were made for, and an installation of torch for the CPU often has none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def import_without_torchvision(name: str) -> ModuleType:
    """Import a module, with a stand-in for torchvision where that is not installed.

    Raises:
        ImportError: Where the module cannot be imported; other errors are its own.
    """
    if name in sys.modules or find_spec("torchvision") is not None:
        return importlib.import_module(name)
    stand_in = _StandIn()
    sys.meta_path.insert(0, stand_in)
    try:
        return importlib.import_module(name)
    finally:
        # No one else may take it for the library.
        sys.meta_path.remove(stand_in)
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]


class _Anything(type):
    """A class whose attributes are such classes again, as an enumeration's members would be."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _StandIn(MetaPathFinder, Loader):
    """Answers every import below ``torchvision`` with a module that has any name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "torchvision":
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        vars(module)["__getattr__"] = partial(getattr, _Anything("Torchvision", (), {}))
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass
