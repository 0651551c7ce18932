import pytest
import torch

from convnext_dense.kernels import MLPParameters, reference
from convnext_dense.kernels.triton import operators

from .helpers import DEVICE, DTYPES, assert_equal, error, random

SCALE = 1.25
SHAPE = (2, 3, 5, 40)


def run(path):
    """A path's second half as a function of every tensor."""

    def mlp(shortcut, y, *tensors):
        return path.mlp(shortcut, y, MLPParameters(*tensors, grn_eps=1e-6), SCALE)

    return mlp


fast, plain = run(operators), run(reference)


def tensors(grn, dtype, gamma, shape=SHAPE, parameters=torch.float32):
    channels = shape[-1]
    hidden = 4 * channels
    options = {"dtype": parameters}
    return [
        random(*shape, **options),
        random(*shape, dtype=dtype),
        random(hidden, channels, std=channels**-0.5, **options),
        random(hidden, **options),
        random(channels, hidden, std=hidden**-0.5, **options),
        random(channels, **options),
        None if gamma is None else random(channels, std=gamma, **options),
        *(random(hidden, **options) if grn else None for _ in range(2)),
    ]


def present(inputs):
    return [t for t in inputs if t is not None]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gamma", [None, 1.0, 1e-6])
@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_equals_plain_torch(grn, gamma, dtype):
    # Under loss scaling, as float16 is trained: a layer scale of 1e-6 leaves its range otherwise.
    loss_scale = 4096.0 if dtype == torch.float16 and gamma == 1e-6 else 1.0
    inputs = tensors(grn, dtype, gamma)
    assert_equal(fast, plain, inputs, dtype, loss_scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_small_layer_scale_keeps_the_branch(dtype):
    # With a shortcut of 1 a branch of 1e-6 would be lost in the sum.
    inputs = tensors(False, dtype, 1e-6)
    inputs[0] = torch.zeros_like(inputs[0]).requires_grad_()
    assert_equal(fast, plain, inputs, dtype, 4096.0 if dtype == torch.float16 else 1.0)


def test_float16_small_layer_scale_without_loss_scaling_is_no_worse_than_plain_torch():
    inputs = tensors(False, torch.float16, 1e-6)
    grad = torch.randn(SHAPE, device=DEVICE)
    doubles = [None if t is None else t.double() for t in inputs]
    exact = torch.autograd.grad(plain(*doubles), present(inputs), grad.double())
    results = (torch.autograd.grad(f(*inputs), present(inputs), grad) for f in (fast, plain))
    for index, (ours, theirs) in enumerate(zip(*results, strict=True)):
        assert error(ours, exact[index]) <= 1.1 * error(theirs, exact[index]) + 2e-3


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_all_in_half_precision(grn):
    inputs = tensors(grn, torch.bfloat16, 1.0, parameters=torch.bfloat16)
    assert fast(*inputs).dtype == torch.bfloat16
    assert_equal(fast, plain, inputs, torch.bfloat16)


def test_result_has_the_type_that_shortcut_branch_and_layer_scale_promote_to():
    inputs = tensors(False, torch.bfloat16, 1.0)
    inputs[0] = inputs[0].detach().bfloat16()
    assert fast(*inputs).dtype == plain(*inputs).dtype == torch.float32
    inputs[6] = None
    assert fast(*inputs).dtype == plain(*inputs).dtype == torch.bfloat16


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 8), (1, 33, 9, 6)], ids=str)
def test_odd_sizes(shape, grn):
    assert_equal(fast, plain, tensors(grn, torch.float32, 1.0, shape), torch.float32)


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_strips_of_several_tiles(grn, monkeypatch):
    from convnext_dense.kernels.triton import launch

    monkeypatch.setattr(launch, "_PROGRAMS", 1)
    inputs = tensors(grn, torch.float32, 1.0, (2, 19, 10, 8))
    assert_equal(fast, plain, inputs, torch.float32)


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_empty_batch_gives_zero_gradients(grn):
    inputs = tensors(grn, torch.bfloat16, 1.0, (0, 3, 5, 8))
    fast(*inputs).sum().backward()
    assert all(t.grad.shape == t.shape and not t.grad.any() for t in present(inputs))


def test_a_channel_that_never_responds_has_finite_gradients():
    inputs = tensors(True, torch.float32, None, (1, 2, 2, 8))
    with torch.no_grad():
        inputs[2][0], inputs[3][0] = 0, 0
    assert_equal(fast, plain, inputs, torch.float32)


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_a_graph_that_is_kept_gives_the_same_gradients_again(grn):
    inputs = tensors(grn, torch.bfloat16, 1.0)
    output = fast(*inputs)
    grad = torch.randn(SHAPE, device=DEVICE)
    before = grad.clone()
    first = torch.autograd.grad(output, present(inputs), grad, retain_graph=True)
    second = torch.autograd.grad(output, present(inputs), grad)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(grad, before)


@pytest.mark.parametrize("grn", [False, True], ids=["V1", "V2"])
def test_without_gradients_the_value_is_the_same(grn):
    inputs = tensors(grn, torch.bfloat16, 1.0)
    with torch.no_grad():
        unrecorded = fast(*inputs)
    assert unrecorded.grad_fn is None
    assert torch.equal(unrecorded, fast(*inputs))
