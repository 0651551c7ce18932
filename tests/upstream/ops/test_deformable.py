import contextlib
import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from convnext_dense.upstream.ops import deformable
from convnext_dense.upstream.ops.deformable import Geometry

GEOMETRIES = [
    Geometry((3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
    Geometry((3, 2), (2, 1), (1, 2), (1, 2), 2, 1),
    Geometry((1, 2), (1, 3), (0, 1), (1, 1), 1, 2),
    Geometry((2, 3), (1, 2), (2, 0), (2, 1), 2, 4),
]


def make_case(geometry, masked, dtype=torch.float64, reach=2.0, seed=0):
    """Random tensors whose samples also fall on and past the border."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, size = 2, 4, (5, 6)
    out = [
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, k, t, p, d in zip(size, *geometry[:4], strict=True)
    ]
    samples = geometry.deform_groups * math.prod(geometry.kernel)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return (
        normal(batch, channels, *size),
        normal(batch, 2 * samples, *out) * reach,
        normal(batch, samples, *out) if masked else None,
        normal(6, channels // geometry.groups, *geometry.kernel),
    )


def by_loops(input, offset, mask, weight, geometry):
    """The definition, one sample at a time."""
    (kernel_h, kernel_w), stride, padding, dilation, groups, deform_groups = geometry
    batch, channels, height, width = input.shape
    out_channels, per_group = weight.shape[:2]
    out_h, out_w = offset.shape[-2:]
    points = kernel_h * kernel_w
    output = input.new_zeros(batch, out_channels, out_h, out_w)

    def pixel(n, c, y, x):
        return input[n, c, y, x] if 0 <= y < height and 0 <= x < width else 0.0

    def sample(n, c, y, x):
        if not (-1 < y < height and -1 < x < width):
            return 0.0
        top, left = math.floor(y), math.floor(x)
        return sum(
            (1 - abs(y - (top + i))) * (1 - abs(x - (left + j))) * pixel(n, c, top + i, left + j)
            for i, j in itertools.product((0, 1), (0, 1))
        )

    ranges = map(range, (batch, out_channels, out_h, out_w, per_group, kernel_h, kernel_w))
    for n, o, row, column, k, i, j in itertools.product(*ranges):
        c = o // (out_channels // groups) * per_group + k
        point = i * kernel_w + j
        g = c // (channels // deform_groups)
        shift_y, shift_x = offset[n, 2 * (g * points + point) :, row, column][:2].tolist()
        value = sample(
            n,
            c,
            row * stride[0] - padding[0] + i * dilation[0] + shift_y,
            column * stride[1] - padding[1] + j * dilation[1] + shift_x,
        )
        if mask is not None:
            value = value * mask[n, g * points + point, row, column]
        output[n, o, row, column] += weight[o, k, i, j] * value
    return output


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_forward_is_the_definition(geometry, masked):
    case = make_case(geometry, masked)
    torch.testing.assert_close(
        deformable.forward(*case, geometry), by_loops(*case, geometry), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_backward_is_the_derivative_of_forward(geometry, masked):
    case = make_case(geometry, masked)
    grad_output = torch.randn_like(deformable.forward(*case, geometry))
    grads = deformable.backward(grad_output, *case, geometry)
    assert (grads.mask is not None) == masked
    for index, grad in enumerate(grads):
        if grad is None:
            continue
        direction = torch.randn_like(grad)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(case)
            moved[index] = moved[index] + step * direction
            ends.append((deformable.forward(*moved, geometry) * grad_output).sum())
        torch.testing.assert_close(
            (grad * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6
        )


def test_backward_computes_what_is_asked_for():
    case = make_case(GEOMETRIES[0], masked=True)
    grad_output = torch.ones_like(deformable.forward(*case, GEOMETRIES[0]))
    samples = deformable.backward(grad_output, *case, GEOMETRIES[0], of_weight=False)
    weight = deformable.backward(grad_output, *case, GEOMETRIES[0], of_samples=False)
    both = deformable.backward(grad_output, *case, GEOMETRIES[0])
    assert samples.weight is None
    assert weight[:3] == (None, None, None)
    for part, whole in zip((*samples[:3], weight.weight), both, strict=True):
        torch.testing.assert_close(part, whole)


def test_a_sample_at_minus_one_has_no_gradient():
    # Offsets start at zero, so that the taps of the padding lie exactly there.
    input, offset, _, weight = make_case(GEOMETRIES[0], masked=False, reach=0.0)
    grad_output = torch.randn(2, 6, 5, 6, dtype=torch.float64)
    grads = deformable.backward(grad_output, input, offset, None, weight, GEOMETRIES[0])
    grad_offset = grads.offset.view(2, 3, 3, 2, 5, 6)
    assert not grad_offset[:, 0, :, :, 0].any()
    assert not grad_offset[:, :, 0, :, :, 0].any()
    assert grad_offset[:, 1, 1].all()


def test_far_offsets_read_zeros():
    input, offset, _, weight = make_case(GEOMETRIES[0], masked=False)
    for far in (1e9, -1e9, math.inf, math.nan):
        away = torch.full_like(offset, far)
        assert not deformable.forward(input, away, None, weight, GEOMETRIES[0]).any()
        grads = deformable.backward(
            torch.ones(2, 6, 5, 6, dtype=torch.float64), input, away, None, weight, GEOMETRIES[0]
        )
        assert not any(grad.any() for grad in grads if grad is not None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_samples_between_the_pixels_of_a_wide_image(dtype):
    # bfloat16 holds no 600.5, and float16 no 3000.5.
    image = torch.zeros(1, 1, 1, 4000, dtype=dtype)
    image[..., 3000] = 1
    geometry = Geometry((1, 1), (1, 1), (0, 0), (1, 1), 1, 1)
    offset = torch.zeros(1, 2, 1, 4000, dtype=dtype)
    offset[:, 1] = 0.25
    output = deformable.forward(image, offset, None, torch.ones(1, 1, 1, 1, dtype=dtype), geometry)
    assert output.dtype == dtype
    assert output[0, 0, 0, 2999:3001].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_memory_layout_does_not_matter(geometry):
    case = make_case(geometry, masked=True)
    moved = [tensor.contiguous(memory_format=torch.channels_last) for tensor in case]
    output = deformable.forward(*case, geometry)
    torch.testing.assert_close(deformable.forward(*moved, geometry), output)
    for grad, expected in zip(
        deformable.backward(output.contiguous(memory_format=torch.channels_last), *moved, geometry),
        deformable.backward(output, *case, geometry),
        strict=True,
    ):
        torch.testing.assert_close(grad, expected)


def test_empty_batch():
    input, offset, mask, weight = make_case(GEOMETRIES[0], masked=True)
    empty = input[:0], offset[:0], mask[:0], weight
    output = deformable.forward(*empty, GEOMETRIES[0])
    assert output.shape == (0, 6, 5, 6)
    grads = deformable.backward(output, *empty, GEOMETRIES[0])
    assert [g.shape for g in grads] == [t.shape for t in empty]
    assert not grads.weight.any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda i, o, m, w: (i[:, :3], o, m, w), r"the input has 3 channels.*takes 4"),
        (lambda i, o, m, w: (i, o[:, :-2], m, w), r"offset has shape \(2, 16, 5, 6\), expected"),
        (lambda i, o, m, w: (i, o[..., 1:], m, w), r"offset has shape .* expected \(2, 18, 5, 6\)"),
        (lambda i, o, m, w: (i, o, m[:1], w), r"mask has shape .* expected \(2, 9, 5, 6\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(spoil, message):
    case = spoil(*make_case(GEOMETRIES[0], masked=True))
    with pytest.raises(ValueError, match=message):
        deformable.forward(*case, GEOMETRIES[0])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_torchvision_gives_the_same(geometry, masked, monkeypatch):
    with contextlib.suppress(Exception):  # a build for another torch fails in ways of its own
        import torchvision  # noqa: F401
    operators = torch.ops.torchvision
    if not hasattr(operators, "deform_conv2d"):
        pytest.skip("torchvision's operators do not load beside this torch")
    case = make_case(geometry, masked)
    plain = deformable.forward(*case, geometry)
    grad_output = torch.randn_like(plain)
    plain_grads = deformable.backward(grad_output, *case, geometry)
    monkeypatch.setattr(deformable, "torchvision_ops", lambda device: operators)
    torch.testing.assert_close(deformable.forward(*case, geometry), plain)
    grads = deformable.backward(grad_output, *case, geometry)
    assert (grads.mask is not None) == masked
    for ours, theirs in zip(plain_grads, grads, strict=True):
        if ours is not None:
            torch.testing.assert_close(ours, theirs)


def test_gives_way_to_torchvision_with_its_own_arguments(monkeypatch):
    """The calls, where torchvision itself is absent."""
    geometry = Geometry((3, 3), (2, 1), (3, 4), (1, 1), 1, 2)
    input, offset, _, weight = make_case(geometry, masked=False, dtype=torch.bfloat16)
    calls = []

    class Operators:
        def deform_conv2d(self, input, weight, offset, mask, bias, *rest):
            calls.append((input.dtype, len(bias), rest))
            return F.conv2d(input, weight, bias, (2, 1), (3, 4))

    monkeypatch.setattr(deformable, "torchvision_ops", lambda device: Operators())
    output = deformable.forward(input, offset, None, weight, geometry)
    assert output.dtype == torch.bfloat16
    assert calls == [(torch.float32, 6, (2, 1, 3, 4, 1, 1, 1, 2, False))]
