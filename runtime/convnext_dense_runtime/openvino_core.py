"""One ``openvino.Core`` for the process.

Fault: OpenVINO 2026.4's CPU plugin sets an alternate stack for signals (``sigaltstack``) when it
loads, and restores the one before when it is destroyed, though that may be unmapped by then
(``src/plugins/intel_cpu/src/plugin.cpp``). Where two cores are destroyed in the order of their
making, or one in another thread, the process ends with SIGSEGV at its next signal, be it Ctrl-C or
the end of a child.
Reach: models that are run or read here; cores of other code may come and go above this one.
End: when OpenVINO leaves the stack to who set it.
"""

from __future__ import annotations

import threading
from typing import Any

from convnext_dense_runtime.backends import import_backend

_core: Any = None
_making = threading.Lock()


def openvino_core() -> Any:  # noqa: ANN401  of a library that need not be there
    """Return the ``openvino.Core`` that all models share, and that is never destroyed.

    Raises:
        ImportError: If OpenVINO is not installed; the message says how to.
    """
    global _core
    with _making:
        if _core is None:
            _core = import_backend("openvino").Core()
        return _core
