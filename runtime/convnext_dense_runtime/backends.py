"""Import the libraries that run an exported model, of which one may be missing."""

from __future__ import annotations

import threading
from typing import Any

_core: Any = None
_making_core = threading.Lock()


def import_backend(name: str) -> Any:  # noqa: ANN401  of a library that need not be there
    """Import ``onnxruntime`` or ``openvino``.

    Raises:
        ImportError: If it is not installed; the message says how to.
    """
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise ImportError(f"{name} cannot be imported: {shortened(error)}") from error
        raise ImportError(
            f"{name} is not installed: pip install 'convnext-dense-runtime[{name}]'"
        ) from error
    except ImportError as error:  # a library of the system is missing
        raise ImportError(f"{name} cannot be imported: {shortened(error)}") from error


def shortened(error: Exception) -> str:
    """Return the beginning of a library's message in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 300 else f"{words[:300]}..."


def openvino_core() -> Any:  # noqa: ANN401  of a library that need not be there
    """Return the ``openvino.Core`` of this process; all models share it, and it is never destroyed.

    Two cores that are destroyed in the order of their making let the process end with SIGSEGV at
    its next signal, be it Ctrl-C or the end of a child: each sets an alternate stack for signals
    (``sigaltstack``) when its CPU plugin loads, and the second restores that of the first, which is
    unmapped by then (OpenVINO 2026.4, ``src/plugins/intel_cpu/src/plugin.cpp``).

    Raises:
        ImportError: If OpenVINO is not installed; the message says how to.
    """
    global _core
    with _making_core:
        if _core is None:
            _core = import_backend("openvino").Core()
        return _core
