"""Workarounds that the OpenMMLab stack needs to run on today's torch.

There is one file per fault. Its docstring describes the fault, its reach, its off-switch and its
end; ``docs/upstream.md`` lists them. Nothing here imports the rest of the package. Importing this
package changes nothing; only :func:`install_at_import` and :func:`enable` do.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from functools import partial
from types import ModuleType

from convnext_dense.upstream import _switches
from convnext_dense.upstream._after_import import after_import
from convnext_dense.upstream._switches import MENDS

_enabled: set[str] = set()
_lock = threading.RLock()


def install_at_import() -> None:
    """Make ``mmcv.ops`` importable with mmcv-lite; ``import convnext_dense`` changes only this."""
    from convnext_dense.upstream import mmcv_ext

    mmcv_ext.install()


def enable(without: Iterable[str] = ()) -> None:
    """Make mmengine and mmdet run on today's torch, in the whole process; safe to repeat.

    Their modules are changed when they are imported, so this function imports none of them.
    :func:`convnext_dense.enable` calls it, and says what else does.

    Args:
        without: Names of files in this folder that must change nothing from now on. The environment
            variable ``CONVNEXT_DENSE_UPSTREAM_OFF`` adds others, separated by commas.

    Raises:
        ValueError: If there is no file of a name.
        RuntimeError: If a file has already changed something.
    """
    with _lock:
        names = (without,) if isinstance(without, str) else tuple(without)
        if late := sorted(_enabled.intersection(names)):
            raise RuntimeError(
                f"`without`: {', '.join(late)} is in place already; call enable before anything "
                "starts a run, or set CONVNEXT_DENSE_UPSTREAM_OFF"
            )
        _switches.switch_off(names)
        for name, modules in MENDS.items():
            if name in _enabled or _switches.is_off(name):
                continue
            _enabled.add(name)
            for module in modules:
                after_import(module, name, partial(_mend, name))


def _mend(name: str, module: ModuleType) -> None:
    importlib.import_module(f"{__name__}.{name}").mend(module)
