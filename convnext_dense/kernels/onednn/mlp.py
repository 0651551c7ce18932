"""The second half of a block, a few rows at a time so that the hidden map stays in cache.

Hidden maps are four times as wide as the block. Written out whole, they cost more time in memory
than they cost in arithmetic, above all in the first stages.

So the rows of a batch are cut into parts, and the parts make groups. In a V1 block each part is a
group by itself. In a V2 block all parts of a sample are one group: the global response norm (GRN)
needs the whole hidden map of a sample before any of it goes through the second layer.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.kernels import reference
from convnext_dense.kernels.gradients import (
    Context,
    is_recorded,
    needs_reference,
    reference_gradients,
)
from convnext_dense.kernels.onednn.grn import channel_response, grn_factor, response_slope
from convnext_dense.kernels.onednn.linear import inference_weight, linear, weight_gradient
from convnext_dense.kernels.parameters import MLPParameters

# Of a part's hidden map, for each thread.
_PART_BYTES = 4 * 2**20
_MIN_ROWS = 512

# The rows of each of its parts.
_Group = list[slice]


def mlp(shortcut: Tensor, y: Tensor, parameters: MLPParameters, scale: float) -> Tensor:
    """Compute :func:`convnext_dense.kernels.reference.mlp`."""
    with torch.autocast("cpu", enabled=False):
        if is_recorded((shortcut, y, *parameters.tensors)):
            return _MLP.apply(scale, shortcut, y, *parameters)
        w1 = inference_weight("w1", parameters.w1, y.dtype, parameters.packed)
        w2 = inference_weight("w2", parameters.w2, y.dtype, parameters.packed)
        return _forward(shortcut, y, parameters._replace(w1=w1, w2=w2), scale)


class _Kept:
    """What the backward pass needs of a forward pass."""

    def __init__(self) -> None:
        self.groups: list[_Group] = []
        # Of each part the hidden map before the GELU, and the branch before its layer scale.
        self.hidden: list[Tensor] = []
        self.branches: list[Tensor] = []
        # Of each group in a V2 block.
        self.responses: list[Tensor] = []


class _Sums(dict[str, Tensor]):
    """The parts' gradients of each parameter, summed in float32."""

    def add(self, name: str, part: Tensor) -> None:
        if name in self:
            self[name] += part
        else:
            self[name] = part.float()


def _row_groups(y: Tensor, parameters: MLPParameters) -> list[_Group]:
    """Cut the rows of (N, H, W, C) so that a part's hidden map fits in the threads' cache."""
    channels = y.shape[-1]
    rows = y.numel() // channels
    together = rows if parameters.grn_weight is None else rows // len(y)
    hidden_bytes = 4 * channels * y.element_size()
    most = max(_PART_BYTES // hidden_bytes, _MIN_ROWS) * torch.get_num_threads()
    # Of one size, so that no part is left with a few rows.
    size = math.ceil(together / math.ceil(together / most))
    groups = [
        [slice(start, min(start + size, end)) for start in range(end - together, end, size)]
        for end in range(together, rows + 1, together)
    ]
    return groups if parameters.grn_weight is not None else [[part] for part in groups[0]]


def _forward(
    shortcut: Tensor,
    y: Tensor,
    parameters: MLPParameters,
    scale: float,
    kept: _Kept | None = None,
) -> Tensor:
    """Compute the result.

    Args:
        shortcut: As in :func:`mlp`, like ``y`` and ``scale``.
        y: Like ``shortcut``.
        parameters: With ``w1`` and ``w2`` as the products take them.
        scale: Like ``shortcut``.
        kept: Filled for the backward pass; None for inference.
    """
    dtype, gamma, grn = y.dtype, parameters.gamma, parameters.grn
    w1, b1, w2, b2 = parameters[:4]
    b1, b2 = b1.to(dtype), b2.to(dtype)
    out = _empty_output(shortcut, y, gamma)
    out_rows, y_rows, shortcut_rows = (t.view(-1, t.shape[-1]) for t in (out, y, shortcut))

    # A function, so that each group's maps are free when the next one starts.
    def compute(group: _Group) -> None:
        activated = []
        for rows in group:
            if kept is None:
                activated.append(linear(y_rows[rows], w1, b1, gelu=True))
            else:
                kept.hidden.append(linear(y_rows[rows], w1, b1))
                activated.append(F.gelu(kept.hidden[-1]))
        if grn is not None:
            grn_weight, grn_bias, eps = grn
            response = channel_response(activated)
            factor = grn_factor(response, grn_weight, eps)[0].to(dtype)
            shift = grn_bias.to(dtype)
            if kept is not None:
                kept.responses.append(response)
        for rows, part in zip(group, activated, strict=True):
            if grn is not None:
                part = torch.addcmul(shift, part, factor)
            branch = linear(part, w2, b2)
            _add_branch(shortcut_rows[rows], branch, gamma, scale, out_rows[rows])
            if kept is not None:
                kept.branches.append(branch)

    groups = _row_groups(y, parameters)
    for group in groups:
        compute(group)
    if kept is not None:
        kept.groups = groups
    return out


class _Context(Context, Protocol):
    # Not cut again in the backward pass: the number of threads may have changed.
    groups: list[_Group]
    scale: float
    grn_eps: float
    shortcut_dtype: torch.dtype


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, scale: float, shortcut: Tensor, y: Tensor, *fields: Any) -> Tensor:
        parameters, kept = MLPParameters(*fields), _Kept()
        w1, w2 = parameters.w1.to(y.dtype), parameters.w2.to(y.dtype)
        out = _forward(shortcut, y, parameters._replace(w1=w1, w2=w2), scale, kept)
        ctx.save_for_backward(
            y, *parameters.tensors, w1, w2, *kept.hidden, *kept.branches, *kept.responses
        )
        ctx.groups = kept.groups
        ctx.scale = scale
        ctx.grn_eps = parameters.grn_eps
        ctx.shortcut_dtype = shortcut.dtype
        return out

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Read once: where they are computed again (``with_cp``), torch gives them a single time.
        saved = ctx.saved_tensors
        grad_shortcut = grad.to(ctx.shortcut_dtype) if ctx.needs_input_grad[1] else None
        if needs_reference(grad):
            grads = reference_gradients(
                lambda y, *tensors: reference.mlp(
                    y.new_zeros((), dtype=grad.dtype),
                    y,
                    MLPParameters._make((*tensors, ctx.grn_eps, None)),
                    ctx.scale,
                ),
                saved[:8],
                grad,
            )
        else:
            with torch.autocast("cpu", enabled=False):
                grads = _gradients(ctx, saved, grad.contiguous())
        return None, grad_shortcut, *grads, None, None


def _gradients(ctx: _Context, saved: tuple[Tensor, ...], grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of y and of ``MLPParameters.tensors``, in this order."""
    y, *tensors = saved[:8]
    w1, w2, *kept = saved[8:]
    parameters = MLPParameters._make((*tensors, ctx.grn_eps, None))
    gamma, grn = parameters.gamma, parameters.grn
    scale = ctx.scale if gamma is None else gamma * ctx.scale
    w1_t, w2_t = w1.t(), w2.t()
    grad_y = torch.empty_like(y)
    grad_y_rows, y_rows, grad_rows = (t.view(-1, t.shape[-1]) for t in (grad_y, y, grad))
    sums = _Sums()

    def compute(group: _Group, kept: list[tuple[Tensor, Tensor]], response: Tensor | None) -> None:
        # GRN needs the sums of its sample alone.
        second_layer = sums if grn is None else _Sums()
        grad_branches, activated = [], []
        for rows, (hidden, branch) in zip(group, kept, strict=True):
            if gamma is not None:
                sums.add("gamma", (grad_rows[rows] * branch).sum(0, dtype=torch.float32))
            grad_branches.append((grad_rows[rows] * scale).to(y.dtype))
            activated.append(F.gelu(hidden))
            second_layer.add("b2", grad_branches[-1].sum(0))
            second_layer.add("w2", weight_gradient(grad_branches[-1], activated[-1]))
        if grn is not None and response is not None:
            factor, slope = _add_grn_gradients(sums, second_layer, parameters.w2, grn, response)
            factor, slope = factor.to(y.dtype), slope.to(y.dtype)
        else:
            # What comes next can have its memory, which is still in the cache.
            activated.clear()
        for rows, (hidden, _), grad_branch in zip(group, kept, grad_branches, strict=True):
            grad_activated = linear(grad_branch, w2_t)
            if grn is not None:
                grad_activated.mul_(factor).addcmul_(activated.pop(0), slope)
            grad_hidden = torch.ops.aten.gelu_backward(grad_activated, hidden)
            sums.add("b1", grad_hidden.sum(0))
            sums.add("w1", weight_gradient(grad_hidden, y_rows[rows]))
            grad_y_rows[rows] = linear(grad_hidden, w1_t)

    number = sum(map(len, ctx.groups))
    parts = zip(kept[:number], kept[number : 2 * number], strict=True)
    responses: list[Tensor | None] = [*kept[2 * number :]] or [None] * len(ctx.groups)
    for group, response in zip(ctx.groups, responses, strict=True):
        compute(group, list(islice(parts, len(group))), response)
    if gamma is not None:
        sums["gamma"] *= ctx.scale
    return [
        grad_y,
        *(
            None if tensor is None else sums[name].to(tensor.dtype).contiguous()
            for name, tensor in zip(MLPParameters._fields, tensors, strict=False)
        ),
    ]


def _add_grn_gradients(
    sums: _Sums,
    second_layer: _Sums,
    w2: Tensor,
    grn: tuple[Tensor, Tensor, float],
    response: Tensor,
) -> tuple[Tensor, Tensor]:
    """Add up the gradients of GRN and of the layer behind it, for one sample.

    With the branch's gradient ``g`` and the map ``a`` after the GELU, all sums that GRN needs
    follow from ``G = g.T @ a``: no pass over a hidden map computes them.

    Args:
        sums: What is added to.
        second_layer: The sample's sum of ``g`` as b2, and ``G`` as w2.
        w2: The block's second weight.
        grn: Weight, bias and eps.
        response: The sample's.

    Returns:
        What the gradient of the normed map and ``a`` are multiplied with for the gradient of ``a``.
    """
    weight, bias, eps = grn
    grad_b2, product = second_layer["b2"], second_layer["w2"]
    factor, relative = grn_factor(response, weight, eps)
    # Of the normed map: its sum over positions, and that of its product with the map.
    grad_sum, grad_dot = grad_b2 @ w2.float(), (w2 * product).sum(0)
    sums.add("b2", grad_b2)
    sums.add("w2", torch.addcmul(grad_b2[:, None] * bias, product, factor))
    sums.add("grn_weight", grad_dot * relative)
    sums.add("grn_bias", grad_sum)
    return factor, response_slope(weight * grad_dot, response, eps)


def _empty_output(shortcut: Tensor, y: Tensor, gamma: Tensor | None) -> Tensor:
    """Allocate the block's result, in the type that its parts promote to."""
    dtype = torch.promote_types(shortcut.dtype, y.dtype)
    if gamma is not None:
        dtype = torch.promote_types(dtype, gamma.dtype)
    return torch.empty_like(shortcut, dtype=dtype)


def _add_branch(
    shortcut: Tensor, branch: Tensor, gamma: Tensor | None, scale: float, out: Tensor
) -> None:
    """Write ``shortcut + scale * gamma * branch``, all (rows, C), to ``out``."""
    if gamma is None:
        torch.add(shortcut, branch, alpha=scale, out=out)
    else:
        # Mixed types would be converted whole, and slowly, inside.
        shortcut, branch, gamma = (t.to(out.dtype) for t in (shortcut, branch, gamma))
        torch.addcmul(shortcut, branch, gamma, value=scale, out=out)
