"""What a GPU does with our backbone: memory formats, a compiler, graphs."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import torch
from torch import Tensor

from convnext_dense.backbone import ConvNeXt
from convnext_dense.benchmark.networks import exact_float32, relative_error
from convnext_dense.benchmark.timing import Spread, alternate
from convnext_dense.doctor.finding import Examination, Finding, Verdict, speed_verdict

TOLERANCE = 1e-4
SHAPE = (2, 3, 320, 416)


def check_gpu(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Say what a GPU is, and how much of its memory is free."""
    free, total = torch.cuda.mem_get_info(device)
    properties = torch.cuda.get_device_properties(device)
    yield Finding.judged(
        str(device),
        free > 4e9,
        f"{properties.name}, compute {properties.major}.{properties.minor}, "
        f"{free / 1e9:.0f} of {total / 1e9:.0f} GB free, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}",
        "another program uses this GPU: end it, or choose another one",
        otherwise=Verdict.SLOW,
    )


def check_memory_formats(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Compare the features of contiguous and of channels-last images."""
    net, image = _network(device)
    with torch.no_grad(), exact_float32():
        want = net(image)
        got = net(image.contiguous(memory_format=torch.channels_last))
    laid_out = all(x.is_contiguous(memory_format=torch.channels_last) for x in got)
    error = relative_error(got, want)
    yield Finding.judged(
        f"channels-last, {device}",
        laid_out and error <= TOLERANCE,
        f"in and out, equal to {error:.0e}" if laid_out else "the features are not channels-last",
    )


def check_compile(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Compile the backbone by torch.compile, and compare values, gradients and time."""
    net, image = _network(device)
    torch.compiler.reset()
    compiled = torch.compile(net)
    with exact_float32():
        start = perf_counter()
        got = _values_and_gradients(compiled, net, image)
        seconds = perf_counter() - start
        error = relative_error(got, _values_and_gradients(net, net, image))
    functions = {
        "eager": lambda: _values_and_gradients(net, net, image),
        "compiled": lambda: _values_and_gradients(compiled, net, image),
    }
    samples = alternate(functions, device, 5, 0.05)
    ratio = Spread.of(samples["compiled"]).median / Spread.of(samples["eager"]).median
    yield Finding.judged(
        f"torch.compile of the backbone, {device}",
        error <= 1e-3,
        f"equal to {error:.0e}, compiled in {seconds:.0f} s; the kernels, not compiled, are "
        f"{ratio:.2f} times as fast",
        "train without torch.compile, and report this line",
        {"eager_over_compiled": ratio},
    )


def check_graphs(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Capture an inference pass as a CUDA graph, and replay it on another image."""
    net, image = _network(device)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.no_grad(), exact_float32(), torch.cuda.stream(stream):
        for _ in range(3):
            net(image)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            captured = net(image)
        other = torch.randn_like(image)
        want = net(other)
        image.copy_(other)
        graph.replay()
    torch.cuda.synchronize(device)
    error = relative_error(captured, want)
    functions = {"eager": lambda: _forward(net, other), "graph": graph.replay}
    samples = alternate(functions, device, 5, 0.05)
    ratio = Spread.of(samples["eager"]).median / Spread.of(samples["graph"]).median
    right = error <= TOLERANCE
    yield Finding(
        f"CUDA graph of the backbone, {device}",
        speed_verdict(ratio) if right else Verdict.WRONG,
        f"equal to {error:.0e}, {ratio:.2f} times as fast as without",
        "" if right else "report this line",
        {"eager_over_graph": ratio},
    )


def _network(device: torch.device) -> tuple[ConvNeXt, Tensor]:
    torch.manual_seed(0)
    net = ConvNeXt("atto").to(device).eval()
    return net, torch.randn(SHAPE, device=device)


def _forward(net: ConvNeXt, image: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return net(image)


def _values_and_gradients(call: object, net: ConvNeXt, image: Tensor) -> list[Tensor]:
    outputs = call(image)  # type: ignore[operator]
    loss = sum(output.square().mean() for output in outputs)
    gradients = torch.autograd.grad(loss, [*net.parameters()])
    # Together: the gradient of a single parameter may be nothing but rounding.
    return [*outputs, torch.cat([gradient.flatten() for gradient in gradients])]
