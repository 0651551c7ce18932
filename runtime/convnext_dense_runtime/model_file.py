"""Recognise the file of an exported model, and read what it says about itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from convnext_dense_runtime.backends import shortened
from convnext_dense_runtime.metadata import KEY, Metadata
from convnext_dense_runtime.onnx_metadata import read_onnx_metadata
from convnext_dense_runtime.openvino_core import openvino_core

ONNX, OPENVINO = ".onnx", ".xml"


def is_model_file(name: str | Path) -> bool:
    """Whether a name is that of an exported model: it ends in ``.onnx`` or ``.xml``."""
    return Path(name).suffix.lower() in (ONNX, OPENVINO)


def check_model_file(path: Path) -> None:
    """Refuse what is no file of an exported model, by its name alone.

    Raises:
        FileNotFoundError: If there is no such file, or an ``.xml`` lacks its ``.bin``.
        ValueError: If its name has another suffix.
    """
    if not is_model_file(path):
        raise ValueError(f"{path} is no exported model: their files end in {ONNX} or {OPENVINO}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no model {path}")
    weights = path.with_suffix(".bin")
    if path.suffix.lower() == OPENVINO and not weights.is_file():
        raise FileNotFoundError(f"{path} lacks {weights.name} beside it")


def read_metadata(file: str | Path) -> Metadata:
    """Return what an exported model says about itself, without loading the model to run it.

    Args:
        file: An ``.onnx`` file, or an ``.xml`` file, for which OpenVINO is needed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, not ours or of a newer format.
        ImportError: If OpenVINO is needed and not installed.
    """
    path = Path(file)
    check_model_file(path)
    if path.suffix.lower() == ONNX:
        return Metadata.from_json(read_onnx_metadata(path), str(path))
    return Metadata.from_json(openvino_metadata(read_openvino(path)), str(path))


def read_openvino(path: Path) -> Any:  # noqa: ANN401  of a library that need not be there
    """Return the ``openvino.Model`` of a file.

    Raises:
        ValueError: If OpenVINO cannot read it.
        ImportError: If it is not installed.
    """
    core = openvino_core()
    try:
        return core.read_model(str(path))
    except Exception as error:  # its errors have no class in common
        # What stands before is where in its sources a check failed.
        reason = re.sub(r"^Exception from .* failed at \S+: ", "", shortened(error))
        raise ValueError(f"{path}: OpenVINO cannot read it: {reason}") from error


def openvino_metadata(model: Any) -> str | None:  # noqa: ANN401  see above
    """Return the JSON that an ``openvino.Model`` holds, or None if it has none."""
    return str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None
