"""``mmdet::...`` configs without pkg_resources.

Fault: mmengine 0.10.7 finds installed packages by ``pkg_resources``, which setuptools 82 removed;
an older setuptools warns at every ``_base_`` of another package.
Reach: mmengine's ``is_installed`` and ``get_installed_path``, for all code in the process, from the
start of a run on. The tools of mmdet and mmseg read a config before that, so they need setuptools
below 82.
Off-switch: its name.
End: when mmengine uses ``importlib``.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def mend(module: ModuleType) -> None:
    """Replace the lookup in a module of mmengine's that has it."""
    for function in (is_installed, get_installed_path):
        if hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


def is_installed(package: str) -> bool:
    """Whether a package can be imported, or a distribution of that name is installed."""
    if find_spec(_module_name(package)) is not None:
        return True
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def get_installed_path(package: str) -> str:
    """Find the folder of an installed package.

    Args:
        package: Name of the distribution or of the module that it brings, such as
            ``mmsegmentation`` or ``mmseg``.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    spec = find_spec(_module_name(package))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; install it to use its configs")
    return str(Path(spec.origin).parent)


def _module_name(package: str) -> str:
    from mmengine.config.utils import MODULE2PACKAGE

    # By the import name, which the forks share, rather than by the distribution's.
    return next((m for m, p in MODULE2PACKAGE.items() if p == package), package)
