"""Import the libraries that run an exported model, of which one may be missing."""

from __future__ import annotations

from typing import Any


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
