"""A config of an unknown author may name only the classes of the OpenMMLab stack.

Fault: if a ``type`` is not registered, mmengine 0.10.7 treats it as a dotted path, imports it and
calls it, even ``os.system``; and mmdet 3.3.0's CameraMotionCompensation passes an argument to
``eval``. So a config that was read as plain data still runs code when its model is built.
Reach: the process while the report of a run builds the objects in that run's config.
Off-switch: its name.
End: when a registry builds only what is registered.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType

import mmengine.registry as mmengine_registry
from mmengine.config import Config
from mmengine.registry import Registry, registry
from mmengine.utils import get_object_from_string
from torch import nn

from convnext_dense.upstream._switches import is_off

PACKAGES = ("mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "convnext_dense", "torch")
_EVALUATING = "CameraMotionCompensation"


def refuse_code(cfg: Config) -> None:
    """Refuse a config that would run other code than the classes of :data:`PACKAGES`.

    Raises:
        ValueError: If it imports modules of other packages, or names a class that evaluates an
            argument.
    """
    if is_off("registered_only"):
        return
    for module in _custom_imports(cfg):
        if not _is_known(module):
            raise ValueError(f"its custom_imports name {module!r}, which could run any code")
    if _names(cfg.to_dict(), _EVALUATING):
        raise ValueError(f"it names {_EVALUATING}, which could run any code")


@contextlib.contextmanager
def registered_only(cfg: Config) -> Iterator[None]:
    """Build only registered classes and torch's modules, until the end of the block.

    This changes mmengine's registries for the whole process.

    Args:
        cfg: The config, after :func:`refuse_code`. Its ``custom_imports`` are imported.
    """
    for module in _custom_imports(cfg):
        importlib.import_module(module)
    if is_off("registered_only"):
        yield
        return
    before = {name: getattr(registry, name) for name in ("get_object_from_string", "import_module")}
    registry.get_object_from_string, registry.import_module = _find, _import
    try:
        yield
    finally:
        vars(registry).update(before)


def _custom_imports(cfg: Config) -> list[str]:
    modules = (cfg.get("custom_imports") or {}).get("imports") or []
    return [modules] if isinstance(modules, str) else list(modules)


def _is_known(name: object) -> bool:
    return isinstance(name, str) and name.partition(".")[0] in PACKAGES


def _find(name: str) -> type | None:
    found = get_object_from_string(name) if _is_known(name) else None
    if not isinstance(found, type):
        return None
    return found if issubclass(found, nn.Module) or found in _registered() else None


def _import(name: str) -> ModuleType:
    if not _is_known(name):
        raise ImportError(f"{name!r} is not of {', '.join(PACKAGES)}")
    return importlib.import_module(name)


def _registered() -> set[type]:
    roots = [item for item in vars(mmengine_registry).values() if isinstance(item, Registry)]
    found: set[type] = set()
    while roots:
        one = roots.pop()
        found.update(item for item in one.module_dict.values() if isinstance(item, type))
        roots.extend(one.children.values())
    return found


def _names(node: object, kind: str) -> bool:
    if isinstance(node, dict):
        return any(_names(item, kind) for item in node.values())
    if isinstance(node, list | tuple):
        return any(_names(item, kind) for item in node)
    return isinstance(node, str) and node.rpartition(".")[2] == kind
