"""``convnext_dense::...`` as a ``_base_``.

Fault: mmengine 0.10.7 finds configs of packages for a fixed list of packages only, and asserts that
a ``_base_`` is of one of them. Its parts then build in a scope of the package's name, but ours are
models of mmdet and mmseg.
Reach: the list, which also ``mmengine.hub.get_config`` uses, and ``_base_`` in ``Config.fromfile``
where it names this package, for all code in the process, from the start of a run on. The tools of
mmdet and mmseg read a config before that: they need ``convnext_dense.enable()`` first.
Off-switch: its name.
End: when mmengine finds the configs of any package, and takes the scope from a config's own
``default_scope``.
"""

from __future__ import annotations

from functools import wraps
from types import ModuleType

PACKAGE = "convnext_dense"


def mend(module: ModuleType) -> None:
    """Add this package to the list, or keep its name from becoming the scope of a base."""
    if hasattr(module, "MODULE2PACKAGE"):
        module.MODULE2PACKAGE.setdefault(PACKAGE, "convnext-dense")
        return
    theirs = module.Config._get_cfg_path
    if hasattr(theirs, "__wrapped__"):
        return

    @wraps(theirs)
    def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = theirs(cfg_path, filename)
        return path, None if scope == PACKAGE else scope

    module.Config._get_cfg_path = staticmethod(_get_cfg_path)
