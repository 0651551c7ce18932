"""Import a library that imports torchvision, but does not need it for its ConvNeXt.

timm imports torchvision for image transforms. A build of torchvision works only with the torch that
it was made for, and it is often missing beside a torch for the CPU.
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
    """Import a module, with a stand-in for torchvision if that is not installed.

    Raises:
        ImportError: If the module cannot be imported; it may raise other errors itself.
    """
    if name in sys.modules or find_spec("torchvision") is not None:
        return importlib.import_module(name)
    stand_in = _StandIn()
    sys.meta_path.insert(0, stand_in)
    try:
        return importlib.import_module(name)
    finally:
        # Other code must not use it as the real library.
        sys.meta_path.remove(stand_in)
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]


class _Anything(type):
    """A class that has any attribute; each is such a class again."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _StandIn(MetaPathFinder, Loader):
    """Load any module of ``torchvision`` as one that has any name."""

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
