"""Write a graph as an ONNX file, and read what a file says about itself."""

from __future__ import annotations

import contextlib
import threading
import warnings
from pathlib import Path

import onnx
import torch
from onnx.external_data_helper import (
    convert_model_to_external_data,
    write_external_data_tensors,
)
from torch import Tensor

from convnext_dense.export import operators
from convnext_dense.export.graph import INPUT, Graph
from convnext_dense.export.replacements import exportable
from convnext_dense.files import replacing
from convnext_dense_runtime.metadata import KEY, Metadata

# Most bytes of weights in one file. protobuf allows 2**31 in a message; 2**27 are left for the rest
# of the graph, which took 65 MB in the largest one.
LARGEST = 2**31 - 2**27
# Most letters of an exporter's message.
_LONGEST = 200
# torch's exporter has global state.
_one_at_a_time = threading.Lock()


class NotExportableError(ValueError):
    """A model cannot be written as ONNX with standard operators."""


def write_onnx(graph: Graph, path: Path, image: Tensor, *, fixed: bool) -> None:
    """Trace a graph, and write it as ONNX with standard operators only.

    Args:
        graph: The graph.
        path: The file.
        image: The picture to trace with, (1, C, H, W).
        fixed: Whether height and width of the input are those of the picture, or free.

    Raises:
        NotExportableError: If torch cannot export the graph, or it needs an operator that ONNX
            lacks.
    """
    operators.register()
    free = {} if fixed else {INPUT: {2: "height", 3: "width"}, **graph.free}
    with _one_at_a_time, exportable(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that the trace keeps: the comparison judges
        try:
            torch.onnx.export(
                graph,
                (image,),
                str(path),
                input_names=[INPUT],
                output_names=list(graph.outputs),
                dynamic_axes=free,
                opset_version=operators.OPSET,
                dynamo=False,
            )
        except OSError:
            raise
        except Exception as error:  # whatever the code of a model raises while it is traced
            raise NotExportableError(f"torch cannot export it: {_reason(error)}") from error
    own = {node.domain for node in onnx.load(path, load_external_data=False).graph.node} - {""}
    if own:
        raise NotExportableError(
            f"it needs operators of {', '.join(sorted(own))}, which ONNX lacks"
        )


def _reason(error: Exception) -> str:
    """Return the beginning of an exporter's message, without the graph that follows it."""
    said = " ".join(str(error).partition("[Caused by")[0].split()) or type(error).__name__
    return said if len(said) <= _LONGEST else said[:_LONGEST] + "..."


def is_large(model: onnx.ModelProto) -> bool:
    """Whether a model with its weights is too large for one file."""
    # ModelProto.ByteSize() raises an error above the limit.
    return sum(len(weight.raw_data) for weight in model.graph.initializer) > LARGEST


def save_model(source: Path, out: Path, metadata: Metadata) -> None:
    """Write a model with what it says about itself, completely or not at all.

    A file of ONNX holds at most 2 GB. The weights of a larger model are a second file beside it,
    ``OUT.data``.

    Args:
        source: The model as the exporter wrote it.
        out: The file.
        metadata: What it says about itself.

    Raises:
        WriteError: If it could not be written; an earlier file stays.
    """
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    with contextlib.ExitStack() as files:
        part = files.enter_context(replacing(out))
        if is_large(model):
            weights = out.with_name(f"{out.name}.data")
            part_of_weights = files.enter_context(replacing(weights))
            convert_model_to_external_data(model, location=part_of_weights.name)
            write_external_data_tensors(model, str(part.parent))
            for tensor in model.graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = weights.name
        part.write_bytes(model.SerializeToString())
