"""The formats of exported models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.export import onnx_file, openvino_file
from convnext_dense.export.int8 import quantise_onnx, quantise_openvino
from convnext_dense.export.verify import onnxruntime_of

if TYPE_CHECKING:
    from convnext_dense.export.calibration import Calibration
    from convnext_dense.export.verify import Run
    from convnext_dense_runtime.metadata import Metadata

ONNX, OPENVINO = "onnx", "openvino"


@dataclass(frozen=True)
class Format:
    """How a format is written and run.

    Attributes:
        suffix: Of the file to load.
        others: Suffixes of further files.
        packages: What must be installed.
        packages_of_int8: What must be installed for 8-bit integers too.
        convert: Takes the file that was traced, and returns the file of this format beside it.
        runner: Returns a function that runs a file.
        save: Writes a file of this format elsewhere, with what the model says about itself.
        quantise: Takes the file that was traced, and returns a file of this format beside it whose
            layers compute in 8-bit integers.
    """

    suffix: str
    others: tuple[str, ...]
    packages: tuple[str, ...]
    packages_of_int8: tuple[str, ...]
    convert: Callable[[Path], Path]
    runner: Callable[[Path], Run]
    save: Callable[[Path, Path, Metadata], None]
    quantise: Callable[[Path, Calibration], Path]

    def files(self, out: Path) -> list[Path]:
        """Return the files that a model is written to."""
        return [out, *(out.with_suffix(suffix) for suffix in self.others)]

    def check_installed(self, *, int8: bool) -> None:
        """Import the packages of the format, before any work.

        Raises:
            ModuleNotFoundError: If one is not installed.
        """
        for package in (*self.packages, *(self.packages_of_int8 if int8 else ())):
            import_module(package)


FORMATS = {
    ONNX: Format(
        ".onnx",
        (),
        ("onnx", "onnxruntime"),
        (),
        lambda traced: traced,
        onnxruntime_of,
        onnx_file.save_model,
        quantise_onnx,
    ),
    OPENVINO: Format(
        ".xml",
        (".bin",),
        ("openvino",),
        ("nncf",),
        openvino_file.convert,
        openvino_file.openvino_of,
        openvino_file.save_model,
        quantise_openvino,
    ),
}


def choose_format(out: Path, format: str | None) -> str:
    """Return the format of a file.

    Args:
        out: The file.
        format: What was asked for; None takes the one that the name tells.

    Raises:
        ValueError: If there is no such format, or its files have other names.
    """
    if format not in (None, *FORMATS):
        raise ValueError(f"`format={format!r}` is not one of {', '.join(FORMATS)}")
    allowed = {name: one.suffix for name, one in FORMATS.items() if format in (None, name)}
    for name, suffix in allowed.items():
        if out.suffix == suffix:
            return name
    files = f", as files of {format} do" if format else ""
    raise ValueError(f"`out={str(out)!r}` does not end in {' or '.join(allowed.values())}{files}")
