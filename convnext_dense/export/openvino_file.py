"""Turn an ONNX file into OpenVINO's two, .xml and .bin, and run them."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from convnext_dense.export.graph import INPUT
from convnext_dense.files import replacing
from convnext_dense_runtime.metadata import KEY, Metadata
from convnext_dense_runtime.openvino_core import openvino_core

if TYPE_CHECKING:
    from convnext_dense.export.verify import Run

XML, BIN = ".xml", ".bin"


def convert(source: Path) -> Path:
    """Write an ONNX file as OpenVINO's beside it, and return the ``.xml``."""
    return write(read_onnx(source), source.with_suffix(XML))


def read_onnx(source: Path) -> Any:  # noqa: ANN401  without types
    """Return the ``openvino.Model`` of an ONNX file, with the names of its outputs alone."""
    model = openvino_core().read_model(str(source))
    described = onnx.load(source, load_external_data=False)
    for wanted, output in zip(described.graph.output, model.outputs, strict=True):
        # Further names, of values that are equal, would be names of the output too.
        for port in (output.get_node().input_value(0), output):
            port.get_tensor().set_names({wanted.name})
    return model


def write(model: Any, path: Path) -> Path:  # noqa: ANN401  without types
    """Write an ``openvino.Model`` as ``.xml`` and ``.bin``; what is float32 stays so."""
    import openvino

    openvino.save_model(model, str(path), compress_to_fp16=False)
    return path


def save_model(source: Path, out: Path, metadata: Metadata) -> None:
    """Write a model with what it says about itself, completely or not at all.

    Args:
        source: Its ``.xml`` file.
        out: The ``.xml`` file to write; its ``.bin`` is written too.
        metadata: What it says about itself.

    Raises:
        WriteError: If it could not be written; earlier files stay.
    """
    model = openvino_core().read_model(str(source))
    model.set_rt_info(metadata.to_json(), [KEY])
    with contextlib.ExitStack() as files:
        # Leaving them puts the weights in place first: the .xml is of no use without.
        parts = [files.enter_context(replacing(out.with_suffix(one))) for one in (XML, BIN)]
        folder = files.enter_context(tempfile.TemporaryDirectory(dir=source.parent))
        written = write(model, Path(folder) / f"model{XML}")
        for part in parts:
            part.write_bytes(written.with_suffix(part.suffix).read_bytes())


def openvino_of(path: Path) -> Run:
    """Return a function that runs a file of OpenVINO on the CPU, in float32."""
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where the processor has it
    compiled = openvino_core().compile_model(str(path), "CPU", settings)
    return lambda values: [*compiled({INPUT: values}).values()]
