"""The operators of mmcv that detectors use, each beside its definition on small inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convnext_dense.doctor import definitions
from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.patches import enable
from convnext_dense.text import one_line
from convnext_dense.upstream.mmcv_ext import is_compiled
from convnext_dense.upstream.ops.torchvision_ops import torchvision_ops

# Of values and gradients, relative to the largest.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
# The operators that torchvision has too, and that are taken from there.
IN_TORCHVISION = ("nms", "roi_align", "deform_conv", "modulated_deform_conv")


class _Wrong(Exception):
    """An operator that differs from its definition."""


class _Place(NamedTuple):
    device: torch.device
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class _Operator:
    name: str
    compare: Callable[[_Place], None]
    differentiable: bool = True


def check_operators(
    examination: Examination, device: torch.device | None = None
) -> Iterator[Finding]:
    """Compare each operator with its definition, with every flag that detectors use."""
    yield from _compare_all(_Place(device or torch.device("cpu")))


def check_operators_in_amp(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Compare the operators with maps of float16, under autocast."""
    yield from _compare_all(_Place(device, torch.float16))


def _compare_all(place: _Place) -> Iterator[Finding]:
    enable()
    in_half = place.dtype != torch.float32
    for operator in OPERATORS:
        if in_half and not operator.differentiable:
            continue  # mixed precision leaves boxes and their scores in float32
        source = _source(operator.name, place.device)
        name = f"operator {operator.name} on {place.device}" + " in float16" * in_half
        try:
            operator.compare(place)
        except _Wrong as wrong:
            remedy = "report it with this line" + (
                "; a mmcv that is not compiled, or another torchvision, would be used instead"
                if source != "plain torch"
                else ""
            )
            yield Finding(name, Verdict.WRONG, f"{source}: {wrong}", remedy)
        except Exception as error:  # an operator that was not built fails in its own way
            yield Finding(name, Verdict.WRONG, f"{source} fails: {one_line(error)}", _INSTALL)
        else:
            yield Finding(name, Verdict.FIT, f"{source}, equal to its definition")


_INSTALL = "docs/install.md says how to install mmcv's operators"


def _source(name: str, device: torch.device) -> str:
    if is_compiled():
        return "compiled mmcv"
    if name in IN_TORCHVISION and torchvision_ops(device) is not None:
        return "torchvision"
    return "plain torch"


def _random(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.rand(shape, generator=generator, device="cpu") * (high - low) + low


def _boxes(count: int, seed: int = 0) -> Tensor:
    corners = _random(count, 2, seed=seed, low=0, high=40)
    return torch.cat([corners, corners + _random(count, 2, seed=seed + 1, low=4, high=30)], 1)


def _compare(
    setting: str,
    operator: Callable[..., Tensor],
    definition: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    place: _Place,
) -> None:
    """Compare values, and gradients of all inputs.

    Args:
        setting: The flags, for the message.
        operator: Called with the inputs on the device.
        definition: Called with the inputs in float64 on the CPU.
        inputs: Float tensors.
        place: Where the operator runs, and the type of its inputs there.

    Raises:
        _Wrong: Where they differ.
    """
    fast_inputs = [x.detach().to(*place).requires_grad_() for x in inputs]
    slow_inputs = [x.detach().double().cpu().requires_grad_() for x in fast_inputs]
    in_half = place.dtype != torch.float32
    with torch.autocast(place.device.type, place.dtype) if in_half else nullcontext():
        fast = operator(*fast_inputs)
    slow = definition(*slow_inputs)
    tolerance = TOLERANCE[place.dtype]
    _same(f"{setting}: values", fast, slow, tolerance)
    weights = _random(*slow.shape, seed=9)
    grads = torch.autograd.grad(fast, fast_inputs, weights.to(fast), allow_unused=True)
    wanted = torch.autograd.grad(slow, slow_inputs, weights.double(), allow_unused=True)
    for index, (own, want) in enumerate(zip(grads, wanted, strict=True)):
        if want is None or own is None:
            if (want is None) != (own is None):
                raise _Wrong(f"{setting}: the gradient of input {index} is missing")
            continue
        _same(f"{setting}: the gradient of input {index}", own, want, tolerance)


def _same(
    what: str, own: Tensor, want: Tensor, tolerance: float = TOLERANCE[torch.float32]
) -> None:
    if own.shape != want.shape:
        raise _Wrong(f"{what} have shape {tuple(own.shape)}, not {tuple(want.shape)}")
    error = float((own.detach().double().cpu() - want.detach()).abs().max())
    largest = float(want.detach().abs().max())
    if not error <= tolerance * max(largest, 1e-3):  # written so that NaN counts as wrong
        raise _Wrong(f"{what} differ by {error:.2g} of {largest:.2g}")


def _nms(place: _Place) -> None:
    from mmcv.ops import nms

    boxes, scores = _boxes(40), _random(40, seed=2, low=0, high=1)
    for threshold in (0.3, 0.7):
        for offset in (0, 1):
            _, kept = nms(boxes.to(place.device), scores.to(place.device), threshold, offset)
            wanted = definitions.nms(boxes.double(), scores.double(), threshold, offset)
            if kept.tolist() != wanted:
                raise _Wrong(
                    f"iou_threshold {threshold}, offset {offset}: keeps {len(kept)} boxes, not the "
                    f"{len(wanted)} of the definition"
                )


def _soft_nms(place: _Place) -> None:
    from mmcv.ops import soft_nms

    boxes, scores = _boxes(25, seed=5), _random(25, seed=6, low=0.1, high=1)
    for method in ("linear", "gaussian", "naive"):
        found, kept = soft_nms(
            boxes.to(place.device),
            scores.to(place.device),
            0.3,
            sigma=0.5,
            min_score=0.05,
            method=method,
        )
        wanted = definitions.soft_nms(boxes.double(), scores.double(), method, 0.3, 0.5, 0.05)
        if kept.tolist() != [index for index, _ in wanted]:
            raise _Wrong(f"method {method}: keeps other boxes than the definition")
        lowered = torch.tensor([score for _, score in wanted], dtype=torch.float64)
        _same(f"method {method}: scores", found[:, 4], lowered)


def _rois() -> Tensor:
    images = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    corners = torch.tensor(
        [[1.3, 2.1, 30.7, 25.2], [-6, -4, 9.5, 12], [20, 8, 23, 50], [3, 3, 3.6, 4.1]]
    )
    return torch.cat([images, corners], 1)


def _roi_align(place: _Place) -> None:
    from mmcv.ops import roi_align

    rois, features = _rois(), _random(2, 3, 9, 8)
    for aligned in (True, False):
        for samples in (0, 2):
            for mode in ("avg", "max"):
                _compare(
                    f"aligned {aligned}, sampling_ratio {samples}, pool_mode {mode}",
                    lambda x, a=(0.25, samples, mode, aligned): roi_align(
                        x, rois.to(place.device), 3, *a
                    ),
                    lambda x, a=(0.25, samples, mode, aligned): definitions.roi_align(
                        x, rois.double(), 3, *a
                    ),
                    [features],
                    place,
                )


def _roi_pool(place: _Place) -> None:
    from mmcv.ops import roi_pool

    rois = _rois()[:3]
    _compare(
        "bins of 3",
        lambda x: roi_pool(x, rois.to(place.device), 3, 0.25),
        lambda x: definitions.roi_pool(x, rois.double(), 3, 0.25),
        [_random(2, 3, 9, 8)],
        place,
    )


_CONVOLUTION_FLAGS = ("stride", "padding", "dilation", "groups", "deform_groups")
_CONVOLUTIONS = ((1, 1, 1, 1, 1), (2, 0, 1, 2, 1), (1, 2, 2, 1, 2))


def _deform_inputs(setting: Sequence[int]) -> tuple[list[Tensor], int]:
    stride, padding, dilation, groups, deform_groups = setting
    x, weight = _random(1, 4, 6, 5), _random(4, 4 // groups, 3, 3, seed=1)
    height, width = ((s + 2 * padding - 2 * dilation - 1) // stride + 1 for s in (6, 5))
    offset = _random(1, deform_groups * 18, height, width, seed=2, low=-1.4, high=1.4)
    return [x, offset, weight], deform_groups * 9


def _deform_conv(place: _Place) -> None:
    from mmcv.ops import deform_conv2d

    for setting in _CONVOLUTIONS:
        flags = dict(zip(_CONVOLUTION_FLAGS, setting, strict=True))
        _compare(
            ", ".join(f"{name} {value}" for name, value in flags.items()),
            lambda x, o, w, s=setting: deform_conv2d(x, o, w, *s),
            lambda x, o, w, f=flags: definitions.deform_conv(x, o, w, **f),
            _deform_inputs(setting)[0],
            place,
        )


def _modulated_deform_conv(place: _Place) -> None:
    from mmcv.ops import modulated_deform_conv2d

    for setting in _CONVOLUTIONS:
        flags = dict(zip(_CONVOLUTION_FLAGS, setting, strict=True))
        (x, offset, weight), taps = _deform_inputs(setting)
        mask = _random(1, taps, *offset.shape[2:], seed=3, low=0, high=1)
        bias = _random(4, seed=4)
        _compare(
            ", ".join(f"{name} {value}" for name, value in flags.items()),
            lambda x, o, m, w, b, s=setting: modulated_deform_conv2d(x, o, m, w, b, *s),
            lambda x, o, m, w, b, f=flags: (
                definitions.deform_conv(x, o, w, mask=m, **f) + b[:, None, None]
            ),
            [x, offset, mask, weight, bias],
            place,
        )


def _ms_deform_attn(place: _Place) -> None:
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    shapes = [(5, 4), (3, 2)]
    sizes = torch.tensor(shapes, device=place.device)
    starts = torch.tensor([0, 20], device=place.device)
    value, weights = _random(1, 26, 2, 4), _random(1, 3, 2, 2, 2, seed=1, low=0, high=1)
    locations = _random(1, 3, 2, 2, 2, 2, seed=2, low=-0.1, high=1.1)

    def operator(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        # As mmcv's module chooses.
        if place.device.type == "cuda":
            return MultiScaleDeformableAttnFunction.apply(
                value, sizes, starts, locations, weights, 64
            )
        return multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)

    _compare(
        "two maps",
        operator,
        lambda v, at, w: definitions.ms_deform_attn(v, shapes, at, w),
        [value, locations, weights],
        place,
    )


def _focal_loss(place: _Place) -> None:
    from mmcv.ops import sigmoid_focal_loss

    labels = torch.tensor([0, 3, 2, 4, 1])
    for gamma, alpha in ((2.0, 0.25), (1.0, 0.6)):
        _compare(
            f"gamma {gamma}, alpha {alpha}",
            lambda x, a=(gamma, alpha): sigmoid_focal_loss(
                x, labels.to(place.device), *a, None, "none"
            ),
            lambda x, a=(gamma, alpha): definitions.focal_loss(x, labels, *a),
            [_random(5, 4, low=-3, high=3)],
            place,
        )


OPERATORS = (
    _Operator("nms", _nms, differentiable=False),
    _Operator("softnms", _soft_nms, differentiable=False),
    _Operator("roi_align", _roi_align),
    _Operator("roi_pool", _roi_pool),
    _Operator("deform_conv", _deform_conv),
    _Operator("modulated_deform_conv", _modulated_deform_conv),
    _Operator("ms_deform_attn", _ms_deform_attn),
    _Operator("sigmoid_focal_loss", _focal_loss),
)
