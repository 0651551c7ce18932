"""Which layers of an ONNX graph compute in 8-bit integers.

By rule these are the convolutions and linear layers, without

- the last ones: what they return are results, or decides on places of which neighbours differ by
  less than a step of 8 bits: offsets of boxes, scores that are sorted, grids that are sampled;
- the stem and the convolutions between stages, whose strides are their kernels: the channels of
  their inputs share a scale, but differ much in range, and all that follows depends on them. They
  take some 5 % of a ConvNeXt's time.

Everything else stays in float32: layer norms, GRN, activations, sums, attention between two
computed maps, decoding, suppression, RoIAlign.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, NodeProto

LAYERS = ("Conv", "Gemm", "MatMul")
# Operators whose inputs of these numbers decide on places, not on values.
_DECIDING = {
    "TopK": (0,),
    "NonMaxSuppression": (0, 1),
    "RoiAlign": (1, 2),
    "GridSample": (1,),
    "NonZero": (0,),
}
# Of these only the first input has the values.
_VALUES_FIRST = ("RoiAlign", "GridSample")


def int8_layers(graph: GraphProto) -> list[str]:
    """Return the names of the nodes of a graph in float32 that can compute in 8-bit integers."""
    last = last_layers(graph)
    return [
        node.name
        for node in weighted(graph)
        if node.op_type in LAYERS and node.name not in last and not _stays_float(node)
    ]


def last_layers(graph: GraphProto) -> set[str]:
    """Return the names of the layers with weights that no other one follows before a result.

    Results are the graph's outputs and what decides on places inside it.
    """
    layers = {node.output[0] for node in weighted(graph)}
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [output.name for output in graph.output]
    for node in graph.node:
        waiting += [node.input[i] for i in _DECIDING.get(node.op_type, ()) if i < len(node.input)]
    found, seen = set(), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        node = makers[name]
        if node.output[0] in layers:
            found.add(node.name)
        elif node.op_type != "Shape":
            waiting += node.input[:1] if node.op_type in _VALUES_FIRST else node.input
    return found


def weighted(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes that multiply by weights."""
    fixed = {weight.name for weight in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Constant", "Identity") and all(one in fixed for one in node.input):
            fixed.update(node.output)
        elif node.op_type in (*LAYERS, "ConvTranspose") and node.input[1] in fixed:
            yield node


def _stays_float(node: NodeProto) -> bool:
    """Whether a node is a convolution whose strides are its kernel."""
    if node.op_type != "Conv":
        return False
    kernel, strides = (
        next(list(one.ints) for one in node.attribute if one.name == name)
        for name in ("kernel_shape", "strides")
    )
    return max(kernel) > 1 and kernel == strides
