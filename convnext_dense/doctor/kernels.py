"""The fast paths of a block, each beside plain torch: what they compute, and how fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from convnext_dense.benchmark.timing import Spread, alternate, paired_ratio
from convnext_dense.doctor.block_kernels import Kernel, halves, triton_kernels
from convnext_dense.doctor.finding import Examination, Finding, Verdict, speed_verdict
from convnext_dense.kernels import onednn
from convnext_dense.kernels.triton import available
from convnext_dense.text import one_line

# Norm of the error over the norm of the result, against plain torch in float64.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}

Shape = tuple[int, int, int, int]  # (N, H, W, C)
# What the four stages of ConvNeXt-T see of two images of 800 x 1280, and of one of 256 x 256.
STAGES: tuple[Shape, ...] = (
    (2, 200, 320, 96), (2, 100, 160, 192), (2, 50, 80, 384), (2, 25, 40, 768)
)  # fmt: skip
SMALL_STAGES: tuple[Shape, ...] = (
    (1, 64, 64, 96), (1, 32, 32, 192), (1, 16, 16, 384), (1, 8, 8, 768)
)  # fmt: skip
# Odd sides, channels that no vector divides, and a single pixel; and an empty batch.
ODD: tuple[Shape, ...] = ((1, 7, 13, 40), (2, 1, 1, 33))
EMPTY: Shape = (0, 4, 5, 64)
ROUNDS, MIN_TIME = 5, 0.005
# Larger maps are compared with float32 on a CPU: float64 would take too long.
MOST_IN_FLOAT64 = 2**19

_OFF = "`apply` switches it off on this machine; please report this line"


def check_cpu_kernels(examination: Examination) -> Iterator[Finding]:
    """Compare oneDNN's fast paths with plain torch in each type that they serve."""
    device = torch.device("cpu")
    for dtype in (torch.float32, torch.bfloat16):
        if not onednn.available(dtype):
            yield Finding(
                f"onednn in {_name(dtype)}",
                Verdict.ABSENT,
                "plain torch runs instead",
                "a processor with bfloat16 products, or a torch with oneDNN, would be faster",
            )
            continue
        stages = STAGES if examination.full else SMALL_STAGES
        for kernel in halves(onednn, dtype):
            # The shipped threshold: smaller maps run in plain torch.
            timed = [shape for shape in stages if onednn.is_worthwhile(_as_map(shape), dtype)]
            yield examine_kernel("onednn", kernel, device, dtype, timed, ODD)


def check_triton_kernels(
    examination: Examination, device: torch.device, stages: Sequence[Shape] = STAGES
) -> Iterator[Finding]:
    """Compare every Triton kernel with plain torch in each type that it serves."""
    if device.type == "cuda" and not available(device, torch.float32):
        yield Finding(
            f"triton on {device}",
            Verdict.ABSENT,
            "the kernels do not run here; plain torch runs instead",
            "a GPU of Ampere or newer, and pip install triton",
        )
        return
    # Importing them imports Triton.
    operators = importlib.import_module("convnext_dense.kernels.triton.operators")
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for kernel in (*halves(operators, dtype), *triton_kernels(dtype)):
            yield examine_kernel("triton", kernel, device, dtype, stages, (*ODD, EMPTY))


def examine_kernel(
    library: str,
    kernel: Kernel,
    device: torch.device,
    dtype: torch.dtype,
    timed: Sequence[Shape],
    others: Sequence[Shape],
) -> Finding:
    """Compare a kernel's results with plain torch, and its times.

    Args:
        library: ``onednn`` or ``triton``.
        kernel: The kernel.
        device: Where it runs.
        dtype: The type that it computes in.
        timed: Maps on which it is timed too.
        others: Maps on which it is only compared.
    """
    name = f"{library} {kernel.name}, {_name(dtype)}, {device}"
    switch = f"{library}.{kernel.half}.{_name(dtype)}"
    times: list[tuple[float, float]] = []
    try:
        for shape in (*others, *timed):
            if wrong := _difference(kernel, shape, device, dtype):
                return Finding(name, Verdict.WRONG, wrong, _OFF, kernel=switch)
        times = [_times(kernel, shape, device, ROUNDS) for shape in timed]
        if speed_verdict(_ratio(times)) is Verdict.SLOW:  # other work may have disturbed it
            times = [_times(kernel, shape, device, 3 * ROUNDS) for shape in timed]
    except Exception as failure:  # compilers and drivers fail in their own ways
        return Finding(name, Verdict.WRONG, f"fails: {one_line(failure)}", _OFF, kernel=switch)
    if not times:
        return Finding(name, Verdict.FIT, "equal to plain torch; too small here to be timed")
    ours, plain = (sum(column) for column in zip(*times, strict=True))
    verdict = speed_verdict(_ratio(times))
    by_stage = ", ".join(f"{p / o:.2f}" for o, p in times)
    detail = f"equal to plain torch, {plain / ours:.2f} times as fast (by stage {by_stage})"
    figures = {"ratio": plain / ours, "milliseconds": ours * 1e3, "plain_milliseconds": plain * 1e3}
    if kernel.cudnn and device.type == "cuda":
        cudnn = sum(_cudnn_times(kernel, shape, device) for shape in timed)
        detail += f", cuDNN {cudnn / ours:.2f} times as long"
        figures["cudnn_milliseconds"] = cudnn * 1e3
    remedy = _OFF if verdict is Verdict.SLOW and kernel.is_whole else ""
    return Finding(name, verdict, detail, remedy, figures, switch if kernel.is_whole else None)


def _difference(
    kernel: Kernel, shape: Shape, device: torch.device, dtype: torch.dtype
) -> str | None:
    """Return which result is wrong and by how much, or None."""
    inputs = [x.to(device) for x in kernel.inputs(shape)]
    slow = device.type == "cpu" and torch.Size(shape).numel() > MOST_IN_FLOAT64
    exact = torch.float32 if slow else torch.float64
    own, want = kernel.fast(*inputs), kernel.plain(*(x.to(exact) for x in inputs))
    errors = [_relative(a, b) for a, b in zip(own, want, strict=True)]
    if all(error <= TOLERANCE[dtype] for error in errors):
        return None
    # Long sums of values that cancel each other lose digits in plain torch as well.
    rounded = [_relative(a, b) for a, b in zip(kernel.plain(*inputs), want, strict=True)]
    for name, error, of_plain in zip(kernel.results, errors, rounded, strict=True):
        if not error <= max(TOLERANCE[dtype], 2 * of_plain):  # written so that NaN is wrong
            at = "x".join(map(str, shape))
            return f"the {name} differs by {error:.1e} of its size at {at}"
    return None


def _ratio(times: Sequence[tuple[float, float]]) -> float:
    """Return the time of plain torch over that of the kernel; 1 if nothing was timed."""
    ours, plain = (sum(column) for column in zip(*times, strict=True)) if times else (1.0, 1.0)
    return plain / ours


def _times(kernel: Kernel, shape: Shape, device: torch.device, rounds: int) -> tuple[float, float]:
    """Return the seconds of a kernel, and of plain torch, measured in turns."""
    inputs = [x.to(device) for x in kernel.inputs(shape)]
    functions = {"fast": lambda: kernel.fast(*inputs), "plain": lambda: kernel.plain(*inputs)}
    for function in functions.values():
        function()
    samples = alternate(functions, device, rounds, MIN_TIME)
    own = Spread.of(samples["fast"]).median
    return own, own * paired_ratio(samples["plain"], samples["fast"]).median


def _cudnn_times(kernel: Kernel, shape: Shape, device: torch.device) -> float:
    inputs = [x.to(device) for x in kernel.inputs(shape)]
    cudnn: Callable[..., object] = kernel.cudnn  # type: ignore[assignment]
    cudnn(*inputs)
    samples = alternate({"cudnn": lambda: cudnn(*inputs)}, device, ROUNDS, MIN_TIME)
    return Spread.of(samples["cudnn"]).median


def _relative(own: Tensor, want: Tensor) -> float:
    """Return the norm of the difference over that of the wanted; 0 for empty tensors."""
    if own.shape != want.shape:
        return float("inf")
    size = float(want.double().norm())
    difference = float((own.double() - want.double()).norm())
    return difference / size if size else difference


def _as_map(shape: Shape) -> Tensor:
    batch, height, width, channels = shape
    return torch.empty(batch, channels, height, width, device="meta")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
