"""Change modules of other packages when they are imported, without importing them."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

Mend = Callable[[ModuleType], None]
# By the module's name, then by the name of the workaround.
_waiting: dict[str, dict[str, Mend]] = {}


def after_import(module: str, name: str, mend: Mend) -> None:
    """Call ``mend`` with a module: now if it is imported already, and after each later import.

    Args:
        module: Name of the module; it may never be imported.
        name: Identifies the caller, so that a second call changes nothing.
        mend: May be called twice on one module.
    """
    if name in _waiting.setdefault(module, {}):
        return
    _waiting[module][name] = mend
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    imported = sys.modules.get(module)  # None if its import is blocked
    if imported is not None:
        mend(imported)


class _Finder(importlib.abc.MetaPathFinder):
    """Find modules by the other finders, and make the loader call ``mend`` after execution."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _waiting:
            return None
        others = [one for one in sys.meta_path if not isinstance(one, _Finder)]
        # Python also skips finders of the old kind.
        finds = [one.find_spec for one in others if hasattr(one, "find_spec")]
        specs = (find(fullname, path, target) for find in finds)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = _then_mend(spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign, assignment]
        return spec


def _then_mend(execute: Mend) -> Mend:
    def execute_and_mend(module: ModuleType) -> None:
        execute(module)
        for mend in _waiting.get(module.__name__, {}).values():
            mend(module)

    return execute_and_mend
