"""The kernels of a block as functions of their inputs, each with the same in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_dense.kernels import BlockFunctions, ConvNormParameters, MLPParameters, reference

EPS = 1e-6
SCALE = 0.5  # of stochastic depth
Results = Sequence[Tensor]


@dataclass(frozen=True)
class Kernel:
    """A kernel, or a half of a block, and what it computes.

    Attributes:
        name: Its name.
        half: The half of a block that it serves: ``conv_norm`` or ``mlp``.
        results: The names of its results.
        fast: Returns the results of the inputs.
        plain: The same in plain torch; in the type of the inputs, also float64.
        inputs: Makes inputs for a map (N, H, W, C).
        cudnn: The same by cuDNN, if it has such an operator.
        is_whole: Whether it is all of a half, so that plain torch can replace it where it is slow.
    """

    name: str
    half: str
    results: Sequence[str]
    fast: Callable[..., Results]
    plain: Callable[..., Results]
    inputs: Callable[[tuple[int, ...]], list[Tensor]]
    cudnn: Callable[..., object] | None = None
    is_whole: bool = False


def halves(functions: BlockFunctions, dtype: torch.dtype) -> list[Kernel]:
    """Return both halves of a block, forward and backward; the second one of V1 and of V2.

    Args:
        functions: A fast path.
        dtype: The type that it computes in, as autocast's; parameters and shortcut are float32.
    """

    def conv_norm(path: BlockFunctions) -> Callable[..., Results]:
        def run(grad: Tensor, *inputs: Tensor) -> Results:
            def half(x: Tensor, *tensors: Any) -> Tensor:
                parameters = ConvNormParameters._make((*tensors, 1, EPS))
                return path.conv_norm(x, parameters, _type(x, dtype))

            return _with_gradients(half, inputs, grad)

        return run

    def mlp(path: BlockFunctions, grn: bool) -> Callable[..., Results]:
        def run(grad: Tensor, *inputs: Tensor) -> Results:
            def half(x: Tensor, y: Tensor, *tensors: Tensor) -> Tensor:
                w1, b1, w2, b2, *rest = tensors
                own = MLPParameters(w1, b1, w2, b2)
                if grn:
                    own = own._replace(grn_weight=rest[0], grn_bias=rest[1], grn_eps=EPS)
                else:
                    own = own._replace(gamma=rest[0])
                return path.mlp(x, y.to(_type(x, dtype)), own, SCALE)

            return _with_gradients(half, inputs, grad)

        return run

    linear = ("w1", "b1", "w2", "b2")
    value = ("result", "gradient of the map")
    return [
        Kernel(
            "convolution and norm",
            "conv_norm",
            (*value, *(f"gradient of {name}" for name in ConvNormParameters._fields[:4])),
            conv_norm(functions),
            conv_norm(reference),
            lambda shape: [_random(shape, 9), _random(shape), _taps(shape), *_vectors(shape, 3)],
            is_whole=True,
        ),
        *(
            Kernel(
                "MLP with GRN" if grn else "MLP",
                "mlp",
                (
                    *value,
                    "gradient of the branch",
                    *(f"gradient of {name}" for name in linear),
                    *(("gradient of grn_weight", "gradient of grn_bias") if grn else ()),
                    *(() if grn else ("gradient of gamma",)),
                ),
                mlp(functions, grn),
                mlp(reference, grn),
                partial(_mlp_inputs, grn),
                is_whole=True,
            )
            for grn in (False, True)
        ),
    ]


def triton_kernels(dtype: torch.dtype) -> list[Kernel]:
    """Return the kernels of Triton one by one, in the type of their maps."""
    from convnext_dense.kernels.triton.depthwise import as_taps, convolve, weight_gradient
    from convnext_dense.kernels.triton.gelu import gelu_backward_
    from convnext_dense.kernels.triton.grn import gelu_grn, gelu_grn_backward_
    from convnext_dense.kernels.triton.layer_norm import normalise, normalise_backward
    from convnext_dense.kernels.triton.layer_scale import fold, unfold_gradients
    from convnext_dense.kernels.triton.residual import add_branch, scale_and_sum

    def maps(shape: tuple[int, ...], count: int = 1) -> list[Tensor]:
        return [_random(shape, seed).to(dtype) for seed in range(count)]

    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return reference.layer_norm(x.to(weight.dtype), weight, bias, EPS)

    def norm_backward(x: Tensor, grad: Tensor, weight: Tensor, bias: Tensor) -> Results:
        _, mean, rstd = normalise(x, weight, bias, EPS, x.dtype)
        inner, sums = normalise_backward(x, grad, weight, mean, rstd)
        return inner, sums[0], sums[1]

    def activate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return reference.global_response_norm(F.gelu(_at_least_float32(x)), weight, bias, EPS)

    def grn_backward(x: Tensor, grad: Tensor, weight: Tensor, bias: Tensor) -> Results:
        hidden, inner = x.flatten(1, 2), grad.flatten(1, 2).clone()
        response = gelu_grn(hidden, weight, bias, EPS)[1]
        _, _, of_weight, of_bias = gelu_grn_backward_(hidden, inner, response, weight, bias, EPS)
        return inner.view_as(x), of_weight, of_bias

    def gelu_backward(x: Tensor, grad: Tensor) -> Results:
        inner = grad.flatten(0, -2).clone()
        activated, total = gelu_backward_(x.flatten(0, -2), inner)
        return activated.view_as(x), inner.view_as(x), total

    def gelu_plain(x: Tensor, grad: Tensor) -> Results:
        value, inner = _with_gradients(F.gelu, [x], grad)
        return value, inner, _at_least_float32(inner).sum((0, 1, 2))

    def scaled(grad: Tensor, gamma: Tensor) -> Results:
        value, total = scale_and_sum(grad.flatten(0, -2), gamma, SCALE, grad.dtype)
        return value.view_as(grad), total

    def scaled_plain(grad: Tensor, gamma: Tensor) -> Results:
        product = SCALE * gamma * grad
        return product, product.sum((0, 1, 2))

    def unfold(w2: Tensor, product: Tensor, b2: Tensor, gamma: Tensor) -> Results:
        return fold(w2, gamma, SCALE, dtype), *unfold_gradients(
            product, _at_least_float32(b2), w2, b2, gamma, SCALE
        )

    def unfold_plain(w2: Tensor, product: Tensor, b2: Tensor, gamma: Tensor) -> Results:
        factor = SCALE * gamma
        of_gamma = SCALE * ((w2 * product).sum(1) + b2 * b2)
        return factor[:, None] * w2, factor[:, None] * product, factor * b2, of_gamma

    def square(shape: tuple[int, ...]) -> list[Tensor]:
        c = shape[-1]
        return [_random((c, 4 * c)), _random((c, 4 * c), 1).to(dtype), *_vectors(shape, 2)]

    return [
        Kernel(
            "depthwise convolution",
            "conv_norm",
            ("result",),
            lambda x, w: [convolve(x, as_taps(w, x.dtype), None, 7, 1)],
            lambda x, w: [reference.depthwise_conv(x, w.to(x.dtype), None, 1)],
            lambda shape: [*maps(shape), _taps(shape)],
            cudnn=_cudnn_depthwise,
        ),
        Kernel(
            "gradient of the depthwise weight",
            "conv_norm",
            ("result",),
            lambda x, grad, w: [weight_gradient(x, grad, 7, 1)],
            lambda x, grad, w: _with_gradients(
                lambda w: reference.depthwise_conv(x, w.to(x.dtype), None, 1), [w], grad
            )[1:],
            lambda shape: [*maps(shape, 2), _taps(shape)],
        ),
        Kernel(
            "layer norm",
            "conv_norm",
            ("result",),
            lambda x, w, b: [normalise(x, w, b, EPS, x.dtype)[0]],
            lambda x, w, b: [norm(x, w, b)],
            lambda shape: [*maps(shape), *_vectors(shape, 2)],
        ),
        Kernel(
            "gradient of layer norm",
            "conv_norm",
            ("gradient of the map", "gradient of weight", "gradient of bias"),
            norm_backward,
            lambda x, grad, w, b: _with_gradients(norm, [x, w, b], grad)[1:],
            lambda shape: [*maps(shape, 2), *_vectors(shape, 2)],
        ),
        Kernel(
            "gradient of GELU",
            "mlp",
            ("result", "gradient of the map", "sum"),
            gelu_backward,
            gelu_plain,
            lambda shape: maps(shape, 2),
        ),
        Kernel(
            "GELU and GRN",
            "mlp",
            ("result",),
            lambda x, w, b: [gelu_grn(x.flatten(1, 2), w, b, EPS)[0].view_as(x)],
            lambda x, w, b: [activate(x, w, b)],
            lambda shape: [*maps(shape), *_vectors(shape, 2)],
        ),
        Kernel(
            "gradient of GELU and GRN",
            "mlp",
            ("gradient of the map", "gradient of weight", "gradient of bias"),
            grn_backward,
            lambda x, grad, w, b: _with_gradients(activate, [x, w, b], grad)[1:],
            lambda shape: [*maps(shape, 2), *_vectors(shape, 2)],
        ),
        Kernel(
            "residual sum",
            "mlp",
            ("result",),
            lambda x, y, b, g: [
                add_branch(x.flatten(0, 2), y.flatten(0, 2), b, g, SCALE).view_as(x)
            ],
            lambda x, y, b, g: [x + SCALE * g * (y + b)],
            lambda shape: [*maps(shape, 2), *_vectors(shape, 2)],
        ),
        Kernel(
            "gradient of the residual sum",
            "mlp",
            ("result", "sum"),
            scaled,
            scaled_plain,
            lambda shape: [*maps(shape), *_vectors(shape, 1)],
        ),
        Kernel(
            "layer scale in the second weight",
            "mlp",
            ("weight", "gradient of w2", "gradient of b2", "gradient of gamma"),
            unfold,
            unfold_plain,
            square,
        ),
    ]


def _with_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor
) -> list[Tensor]:
    """Return a function's value, and the gradients of its inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves, grad.to(value.dtype))]


def _cudnn_depthwise(x: Tensor, weight: Tensor) -> Tensor:
    return torch.cudnn_convolution(
        x.permute(0, 3, 1, 2),
        weight.to(x.dtype),
        padding=(3, 3),
        stride=(1, 1),
        dilation=(1, 1),
        groups=x.shape[-1],
        benchmark=True,
        deterministic=False,
        allow_tf32=False,
    )


def _type(x: Tensor, dtype: torch.dtype) -> torch.dtype:
    """Return the type to compute in: the exact one where the inputs are in float64."""
    return x.dtype if x.dtype == torch.float64 else dtype


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _random(shape: Sequence[int], seed: int = 0, size: float = 1.0) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, device="cpu") * size + 0.1 * size


def _taps(shape: Sequence[int]) -> Tensor:
    return _random((shape[-1], 1, 7, 7), 20, 1 / 7)


def _vectors(shape: Sequence[int], count: int) -> list[Tensor]:
    return [_random((shape[-1],), 21 + number) for number in range(count)]


def _mlp_inputs(grn: bool, shape: Sequence[int]) -> list[Tensor]:
    c = shape[-1]
    w1, w2 = _random((4 * c, c), 30, c**-0.5), _random((c, 4 * c), 31, c**-0.5 / 2)
    maps = [_random(shape, 9), _random(shape), _random(shape, 1)]
    last = [_random((4 * c,), 34), _random((4 * c,), 35)] if grn else [_random((c,), 34)]
    return [*maps, w1, _random((4 * c,), 32), w2, _random((c,), 33), *last]
