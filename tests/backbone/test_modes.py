"""Precision, memory format, compilation and export."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt

# Deep enough that every kind of part is there, with one stage dilated where asked.
SMALL = dict(depths=(1, 1, 2), channels=(8, 16, 24))
ARCHS = {"v1": SMALL, "v2": SMALL | dict(grn=True)}
both_versions = pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)


@pytest.fixture
def build(randomise):
    def build(arch, **kwargs):
        return randomise(ConvNeXt(arch, **({"out_indices": (0, 2)} | kwargs)))

    return build


@pytest.fixture
def image():
    return torch.randn(2, 3, 48, 67)


@both_versions
def test_float64(arch, build, image):
    net = build(arch).eval()
    single = net(image)
    double = net.double()(image.double())
    for low, high in zip(single, double, strict=True):
        assert high.dtype == torch.float64
        torch.testing.assert_close(low.double(), high, rtol=1e-4, atol=1e-5)


@both_versions
def test_bfloat16_autocast(arch, build, image):
    net = build(arch, drop_path_rate=0.1)
    want = net.eval()(image)
    with torch.autocast("cpu", torch.bfloat16):
        got = net(image)
        loss = sum(output.float().square().mean() for output in net.train()(image))
    loss.backward()
    for low, high in zip(got, want, strict=True):
        # bfloat16 has 8 bits: 2 ** -8 per operation, and some tens of them in a row.
        assert (low.float() - high).norm() < 0.05 * high.norm()
    assert all(param.grad.dtype == torch.float32 for param in net.parameters())
    assert all(param.grad.isfinite().all() for param in net.parameters())


@both_versions
@pytest.mark.parametrize("norm_out", [True, False])
@pytest.mark.parametrize("output_stride", [32, 8])
def test_outputs_are_laid_out_as_the_images(arch, norm_out, output_stride, build, image):
    net = build(arch, norm_out=norm_out, output_stride=output_stride).eval()
    from_contiguous = net(image)
    from_channels_last = net(image.to(memory_format=torch.channels_last))
    from_view = net(torch.cat([image, image])[::2])
    for a, b, c in zip(from_contiguous, from_channels_last, from_view, strict=True):
        assert a.is_contiguous() and c.is_contiguous()
        assert b.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"]
)
def test_gradients_are_laid_out_as_their_parameters(memory_format, dtype, build, image):
    # What DistributedDataParallel wants; see test_distributed.py.
    net = build(ARCHS["v2"]).to(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = net(image.to(memory_format=memory_format))
    sum(output.float().square().sum() for output in outputs).backward()
    for name, param in net.named_parameters():
        assert param.grad.stride() == param.stride(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch, with_cp", [(ARCHS["v1"], False), (ARCHS["v2"], True)], ids=["v1", "v2-with_cp"]
)
def test_compiles_as_one_graph(arch, with_cp, build, image):
    net = build(arch, with_cp=with_cp, output_stride=8)
    want = net(image)
    sum(output.square().sum() for output in want).backward()
    grads = [param.grad.clone() for param in net.parameters()]
    net.zero_grad()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    got = compiled(image)
    sum(output.square().sum() for output in got).backward()
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    for param, grad in zip(net.parameters(), grads, strict=True):
        assert (param.grad - grad).norm() <= 1e-4 * grad.norm()


@pytest.mark.slow
def test_compiles_with_drop_path(build, image):
    net = build(SMALL, drop_path_rate=0.5)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert not torch.equal(compiled(image)[1], compiled(image)[1])
    net.eval()
    torch.testing.assert_close(compiled(image), net(image))


@pytest.mark.slow
@both_versions
def test_torch_export_with_a_free_size(arch, build, image):
    net = build(arch, output_stride=8).eval()
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(net, (image,), dynamic_shapes=(free,)).module()
    for size in [(48, 67), (64, 96)]:
        other = torch.randn(3, 3, *size)
        torch.testing.assert_close(program(other), net(other), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@both_versions
def test_onnx(arch, build, image, check_onnx):
    check_onnx(build(arch).eval(), image, [(48, 67), (64, 96)])


@pytest.mark.slow
@both_versions
def test_torchscript_by_tracing(arch, build, image):
    net = build(arch, output_stride=8).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, image)
        for size in [(48, 67), (64, 96)]:  # nothing of the first size is left in the graph
            other = torch.randn(3, 3, *size)
            torch.testing.assert_close(traced(other), net(other), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@both_versions
def test_gradients_of_norms_in_bfloat16(arch, build):
    # On CPUs torch's own layer norm sums them in bfloat16, which is wrong over a map of this
    # size.
    net = build(arch, out_indices=(0, 1))
    image = torch.randn(1, 3, 512, 512)
    gradients = []
    for enabled in (True, False):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs = net(image)
        sum((output.float() + 0.2).square().mean() for output in outputs).backward()
        named = net.named_parameters()
        gradients.append(
            {n: p.grad.clone() for n, p in named if p.grad is not None and p.ndim == 1}
        )
    for name, exact in gradients[1].items():
        if "norm" in name or "downsample" in name:
            assert (gradients[0][name] - exact).norm() < 0.1 * exact.norm(), name
