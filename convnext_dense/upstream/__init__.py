"""What the OpenMMLab stack needs to run on today's torch.

One file per fault of it, whose docstring names the fault, its reach, its off-switch and its end;
``docs/upstream.md`` lists them. Nothing here imports the rest of the package, and importing this
changes nothing: :func:`install_at_import` and :func:`enable` do.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from functools import partial
from types import ModuleType

from convnext_dense.upstream import _switches
from convnext_dense.upstream._after_import import after_import

# What each file mends, once it is imported.
MENDS = {
    "bitmap_masks": ("mmdet.structures.mask.structures",),
    "config_format": ("mmengine.config.config",),
    "package_paths": (
        "mmengine.utils.package_utils",
        "mmengine.utils",
        "mmengine.config.config",
        "mmengine.hub.hub",
    ),
    "resumed_config": ("mmengine.runner.runner", "mmengine.runner._flexible_runner"),
    "roi_precision": ("mmdet.models.roi_heads.roi_extractors.single_level_roi_extractor",),
    "safe_checkpoint": ("mmengine.runner.checkpoint",),
    "web_checkpoints": ("mmengine.runner.checkpoint",),
}
_enabled: set[str] = set()
_lock = threading.RLock()


def install_at_import() -> None:
    """Let ``mmcv.ops`` be imported where mmcv is lite: all that ``import convnext_dense`` does."""
    from convnext_dense.upstream import mmcv_ext

    mmcv_ext.install()


def enable(without: Iterable[str] = ()) -> None:
    """Make mmengine and mmdet run on today's torch, in the whole process; safe to repeat.

    Each is changed when it is imported, so that this imports neither. The tools call it, and so do
    :class:`~convnext_dense.Predictor` and the registries that build a backbone of ours.

    Args:
        without: Names of files of this folder that are to change nothing from now on, besides those
            that the environment variable ``CONVNEXT_DENSE_UPSTREAM_OFF`` names, with commas.

    Raises:
        ValueError: Where there is none of a name.
        RuntimeError: Where one is in place already.
    """
    with _lock:
        names = (without,) if isinstance(without, str) else tuple(without)
        if late := sorted(_enabled.intersection(names)):
            raise RuntimeError(
                f"`without`: {', '.join(late)} is in place already; call enable before what starts "
                "a run, or set CONVNEXT_DENSE_UPSTREAM_OFF"
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
