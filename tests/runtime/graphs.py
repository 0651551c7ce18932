"""Small exported models, made by hand: their outputs are known numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from convnext_dense_runtime.metadata import KEY, Metadata

CLASSES = ("cat", "dog", "cow")


def save(path: Path, graph: onnx.GraphProto, facts: Metadata | str | None) -> Path:
    """Write a graph with metadata, which may be any text."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if facts is not None:
        text = facts if isinstance(facts, str) else facts.to_json()
        helper.set_model_props(model, {"other": "x", KEY: text})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def image(batch: int | str = 1, channels: int = 3, size: tuple = ("height", "width")):
    """The input of every exported model."""
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, *size])


def detector(path: Path, facts: Metadata | str | None = None, **outputs: np.ndarray) -> Path:
    """A detector that finds the same in every picture, whatever is in it."""
    facts = facts or Metadata("detection", CLASSES, masks="box" if "masks" in outputs else None)
    # The input must be read, or backends drop it: its sum times 0 is added to the scores.
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["fixed_scores", "nothing"], ["scores"]),
    ]
    nodes += [helper.make_node("Identity", [f"fixed_{n}"], [n]) for n in outputs if n != "scores"]
    constants = [numpy_helper.from_array(v, f"fixed_{n}") for n, v in outputs.items()]
    constants.append(numpy_helper.from_array(np.float32(0), "zero"))
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in outputs.items()
    ]
    return save(path, helper.make_graph(nodes, "found", [image()], infos, constants), facts)


def segmenter(
    path: Path,
    weights: np.ndarray,
    facts: Metadata | str | None = None,
    batch: int | str = 1,
    size: tuple = ("height", "width"),
) -> Path:
    """A segmenter of one convolution (K, C, h, w), whose windows see each other's edges."""
    facts = facts or Metadata("segmentation", CLASSES[: len(weights)])
    pads = [side // 2 for side in weights.shape[2:]] * 2
    node = helper.make_node("Conv", ["image", "weights"], ["logits"], pads=pads)
    logits = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, [batch, len(weights), *size]
    )
    constants = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(
        [node], "labels", [image(batch, weights.shape[1], size)], [logits], constants
    )
    return save(path, graph, facts)
