"""Measure where the time goes: torch's profile of a pass, summed over operators of a kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

PASSES = 3
# The first pattern that matches the name of an operator, or of a GPU kernel, gives its kind. On a
# CPU the names are torch's; the operators of this package keep their own names.
KINDS = {
    "depthwise convolution": r"depthwise|dwconv|grouped_direct",
    "convolution": r"conv|fprop|dgrad|wgrad",
    "norm": r"layer_?norm|vector_norm|linalg_norm|grn",
    "matrix product": r"addmm|::mm\b|::bmm|linear|gemm|cutlass|nvjet|xmma|matmul",
    "GELU": r"gelu",
    "copy or cast": r"copy|::to\b|contiguous|clone|memcpy|transpose|reorder|nchw",
    "elementwise": r"::(add|mul|sub|div|pow|sqrt|sum|mean|rsqrt|neg)_?\b|elementwise|reduce"
    r"|add_branch|scale_and_sum|layer_scale",
}


@dataclass(frozen=True)
class Part:
    """The time of the operators of a kind.

    Attributes:
        kind: A key of ``KINDS``, an operator's name, or ``other``.
        seconds: In a pass, of the device that computes.
        share: Of all.
    """

    kind: str
    seconds: float
    share: float


def time_by_part(function: Callable[[], object], device: torch.device) -> list[Part]:
    """Profile a function, and return the time of its operators, the slowest kind first.

    Args:
        function: The function; it has been called before.
        device: Its device; on a GPU, kernels count.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, record_shapes=True) as profiler:
        for _ in range(PASSES):
            function()
    spent: Counter[str] = Counter()
    for event in profiler.key_averages(group_by_input_shape=True):
        if device.type == "cuda":
            if event.device_type == torch.autograd.DeviceType.CUDA:
                spent[kind_of(event.key)] += event.self_device_time_total
        else:
            spent[kind_of(event.key, event.input_shapes)] += event.self_cpu_time_total
    total = sum(spent.values())
    return [
        Part(kind, time / 1e6 / PASSES, time / total) for kind, time in spent.most_common() if time
    ]


def kind_of(name: str, shapes: list | None = None) -> str:
    """Return the kind of an operator or kernel.

    Args:
        name: Such as ``aten::addmm``.
        shapes: Of its inputs, which tell a depthwise convolution.

    Example:
        >>> kind_of("aten::native_layer_norm")
        'norm'
        >>> kind_of("aten::mkldnn_convolution", [[1, 96, 8, 8], [96, 1, 7, 7]])
        'depthwise convolution'
    """
    if name.startswith("convnext_dense::"):
        return name
    matches = (kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE))
    kind = next(matches, None)
    if kind == "convolution" and any(_is_depthwise(shape) for shape in shapes or ()):
        return "depthwise convolution"
    # An operator that fuses several kinds is a kind of its own.
    known = name.startswith(("aten::", "autograd::", "torch::", "Torch", "["))
    return kind or ("other" if known else name[:60])


def _is_depthwise(shape: list) -> bool:
    return len(shape) == 4 and shape[0] > 1 and shape[1] == 1
