"""``mmdet::...`` configs without pkg_resources.

Fault: mmengine 0.10.7 looks installed packages up through ``pkg_resources``, which setuptools 82
removed; before, it warns at every ``_base_`` of another package. This file can go when mmengine
uses ``importlib``.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path


def install() -> None:
    """Replace mmengine's lookup."""
    import mmengine.config.config
    import mmengine.hub.hub
    import mmengine.utils.package_utils

    # Each module that took the functions over by name at its import.
    utils = mmengine.utils
    for module in (utils, utils.package_utils, mmengine.config.config, mmengine.hub.hub):
        module.is_installed = is_installed
        module.get_installed_path = get_installed_path


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
