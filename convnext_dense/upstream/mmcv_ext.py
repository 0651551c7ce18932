"""The operators of mmcv, written with torch, for an mmcv that was not compiled.

Fault: mmcv publishes no wheels for today's torch; compiling it needs a compiler and a quarter of an
hour; and mmcv-lite, which installs anywhere, lacks the extension module, without which
``mmdet.models`` and ``mmseg.apis`` cannot be imported.
Reach: code that imports ``mmcv.ops`` after ``import convnext_dense``, if mmcv was not compiled.
This import changes nothing else for other code.
Off-switch: its name, in the environment before the import.
End: when mmcv, or a fork that is the default choice, ships wheels for the torch that we support.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from convnext_dense.upstream._switches import is_off

EXTENSION = "mmcv._ext"


def install() -> None:
    """Make ``mmcv._ext`` importable, before or after mmcv is imported; safe to repeat.

    The finder comes last, so that a compiled extension is found first.
    """
    if is_off("mmcv_ext"):
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def is_compiled() -> bool:
    """Whether mmcv's own compiled operators are used, not those of this package. Imports mmcv."""
    import mmcv._ext

    return hasattr(mmcv._ext, "__file__")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), origin=__name__)


class _Loader(importlib.abc.Loader):
    def exec_module(self, module: ModuleType) -> None:
        from convnext_dense.upstream.ops import OPERATORS

        vars(module).update(
            OPERATORS,
            get_compiler_version=_no_compiler,
            get_compiling_cuda_version=_no_compiler,
            __getattr__=_missing,
        )


def _no_compiler() -> str:
    """Return the text that ``mmcv.utils.collect_env`` prints as the operators' compiler."""
    return "none (operators over torch, by convnext_dense)"


def _missing(name: str) -> Callable:
    """Return a stand-in for an operator that is missing here: mmcv checks for it at import."""
    if name.startswith("_"):
        raise AttributeError(f"module {EXTENSION!r} has no attribute {name!r}")

    def unsupported(*args: object, **kwargs: object) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "a caller")
        raise NotImplementedError(
            f"{caller} needs the operator {name!r}, which is only in a compiled mmcv, not in "
            "convnext_dense: docs/install.md says how to compile mmcv"
        )

    return unsupported
