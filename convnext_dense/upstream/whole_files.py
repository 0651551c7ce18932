"""Files that mmengine writes are whole or not at all.

Fault: mmengine 0.10.7 overwrites an existing file in place, so that a full disk or a kill leaves
only a part of it.
Reach: ``mmengine.dump``, mmcv's ``imwrite`` and everything else that writes through mmengine's
local storage, from the start of a training or a test of this package on.
Off-switch: its name.
End: when mmengine writes to another name first.
"""

from __future__ import annotations

from mmengine.fileio import LocalBackend, io, register_backend

from convnext_dense.upstream._switches import is_off


def install(backend: type[LocalBackend]) -> None:
    """Replace mmengine's local storage by a backend of this package; safe to repeat."""
    if not is_off("whole_files"):
        register_backend("local", backend, force=True, prefixes="")
        io.backend_instances.clear()  # mmengine caches the earlier backend
