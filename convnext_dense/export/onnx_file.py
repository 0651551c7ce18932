"""Write a graph as an ONNX file, and read what a file says about itself."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor

from convnext_dense.export import operators
from convnext_dense.export.graph import INPUT, Graph
from convnext_dense.export.replacements import exportable
from convnext_dense_runtime.metadata import KEY, Metadata

# torch's exporter has global state.
_one_at_a_time = threading.Lock()


def write_onnx(graph: Graph, path: Path, image: Tensor, *, fixed: bool) -> None:
    """Trace a graph, and write it as ONNX with standard operators only.

    Args:
        graph: The graph.
        path: The file.
        image: The picture to trace with, (1, C, H, W).
        fixed: Whether height and width of the input are those of the picture, or free.

    Raises:
        ValueError: If the graph needs an operator that ONNX lacks.
    """
    operators.register()
    free = {} if fixed else {INPUT: {2: "height", 3: "width"}, **graph.free}
    with _one_at_a_time, exportable(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that the trace keeps: verification judges
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
    own = {node.domain for node in onnx.load(path, load_external_data=False).graph.node} - {""}
    if own:
        raise ValueError(f"the model needs operators that ONNX lacks, of {', '.join(sorted(own))}")


def write_metadata(path: Path, metadata: Metadata) -> None:
    """Write what a model says about itself into its file."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    onnx.save(model, path)


def read_metadata(path: str | Path) -> Metadata:
    """Return what a file says about itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a model of ours, or of a newer version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model {path}")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's have no class in common
        raise ValueError(f"{path} is not an ONNX file") from error
    properties = {one.key: one.value for one in model.metadata_props}
    return Metadata.from_json(properties.get(KEY), str(path))
