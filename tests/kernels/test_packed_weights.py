"""Weights that are kept in another layout follow every change of them."""

import copy
import pickle

import pytest
import torch
from torch import nn

from convnext_dense import ConvNeXt, kernels
from convnext_dense.backbone.block import Block

from .packing import CHANNELS, MARKS, assert_follows, distance, in_place, infer, packed_tensors

pytestmark = MARKS


def in_place_in_inference_mode(weight):
    with torch.inference_mode():
        weight.mul_(2)


def one_value(weight):
    with torch.no_grad():
        weight[3, 5] += 100


def through_detach(weight):
    weight.detach()[2:] = 1


def replaced_data(weight):
    weight.data = weight.data + 1


def other_strides(weight):
    weight.data = weight.data.flatten().view(weight.shape[::-1]).t()


def swapped(weight):
    torch.utils.swap_tensors(weight, nn.Parameter(torch.randn_like(weight)))


def set_to_another(weight):
    with torch.no_grad():
        weight.set_(torch.randn_like(weight))


@pytest.mark.parametrize("name", ["pwconv1", "pwconv2"])
@pytest.mark.parametrize(
    "change",
    [
        in_place,
        in_place_in_inference_mode,
        one_value,
        through_detach,
        replaced_data,
        other_strides,
        swapped,
        set_to_another,
    ],
)
def test_a_weight_is_changed(change, name, block):
    before = infer(block)
    change(getattr(block, name).weight)
    assert_follows(block, before)


def test_other_memory_at_the_same_address(block):
    weight = block.pwconv1.weight
    memory = bytearray(weight.numel() * weight.element_size())

    def view():
        return torch.frombuffer(memory, dtype=torch.float32).view(CHANNELS * 4, CHANNELS)

    weight.data = view().normal_()
    for _ in range(3):
        before = infer(block)
    address = weight.data_ptr()
    weight.data = torch.empty(0)
    view().normal_()
    weight.data = view()
    assert weight.data_ptr() == address
    assert_follows(block, before)


def in_parts(block):
    nn.utils.vector_to_parameters(
        torch.randn(sum(p.numel() for p in block.parameters())), block.parameters()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda block: block.load_state_dict(other_state(block)),
        lambda block: block.load_state_dict(other_state(block), assign=True),
        lambda block: setattr(block.pwconv1, "weight", nn.Parameter(-block.pwconv1.weight)),
        lambda block: setattr(block, "pwconv1", nn.Linear(CHANNELS, 4 * CHANNELS)),
        in_parts,
    ],
    ids=["load_state_dict", "assign", "parameter", "layer", "vector_to_parameters"],
)
def test_weights_are_replaced(change, block):
    before = infer(block)
    change(block)
    assert_follows(block, before)


def other_state(block):
    return {name: -2 * value for name, value in block.state_dict().items()}


@pytest.mark.parametrize("swap", [False, True], ids=["data", "swap_tensors"])
@pytest.mark.parametrize("there", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_types_there_and_back(there, swap, block):
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        block.to(there)
        with torch.no_grad():
            block.pwconv1.weight.neg_()
        block.float()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert_follows(block)


def test_half_precision_itself(block):
    block.bfloat16()
    x = torch.randn(1, CHANNELS, 8, 9, dtype=torch.bfloat16)
    for _ in range(2):
        with torch.no_grad():
            outputs = [block(x) for _ in range(3)]
            with kernels.plain_torch():
                want = block(x)
        assert all(distance(out, want) < 0.02 for out in outputs)
        in_place(block.pwconv2.weight)


@pytest.mark.slow
def test_shared_memory_that_another_process_writes(block):
    before = infer(block)
    block.share_memory()
    assert_follows(block)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.5)

    def step():
        for p in block.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()

    process = torch.multiprocessing.get_context("fork").Process(target=step)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert_follows(block, before)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "pickle"],
)
def test_copies_have_their_own(duplicate, block):
    before = infer(block)
    twin = duplicate(block)
    in_place(twin.pwconv1.weight)
    assert_follows(twin, before)
    assert torch.equal(infer(block), before)
    in_place(block.pwconv2.weight)
    assert_follows(block, before)
    assert_follows(twin, before)


def test_other_parameters_for_one_call(block):
    before = infer(block)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        image = torch.randn(1, CHANNELS, 8, 9)
        others = [torch.func.functional_call(block, other_state(block), image) for _ in range(3)]
        with kernels.plain_torch():
            want = torch.func.functional_call(block, other_state(block), image)
    assert all(distance(other, want) < 0.02 for other in others)
    assert torch.equal(infer(block), before)


def test_weights_that_torch_counts_nothing_for():
    with torch.inference_mode():
        block = Block(CHANNELS).eval()
        assert_follows(block)
        before = infer(block)
        block.pwconv1.weight.mul_(-2)
        assert_follows(block, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda weight: weight.data.mul_(2),
        lambda weight: weight.detach().numpy().__imul__(2),
        lambda weight: torch.from_dlpack(weight.detach()).mul_(2),
        lambda weight: weight.untyped_storage().fill_(0),
    ],
    ids=["data", "numpy", "dlpack", "storage"],
)
def test_a_write_past_torch_shows_once_the_weights_are_forgotten(write, block):
    before = infer(block)
    write(block.pwconv1.weight)
    # The weights are kept.
    assert torch.equal(infer(block), before)
    kernels.forget_packed_weights()
    assert_follows(block, before)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_setting_the_mode_forgets_and_frees(mode, block):
    before = infer(block)
    assert packed_tensors()
    block.pwconv1.weight.data.mul_(2)
    block.train(mode)
    assert not packed_tensors()
    assert_follows(block, before)


@pytest.mark.slow
def test_what_is_kept_goes_with_the_network(block):
    held = len(packed_tensors())
    net = ConvNeXt(dict(depths=(1, 1), channels=(16, 32)), out_indices=(1,)).eval()
    for _ in range(3):
        infer(net, torch.randn(1, 3, 32, 32))
    assert len(packed_tensors()) == held + 4
    del net
    assert len(packed_tensors()) == held


@pytest.mark.slow
def test_weights_that_change_every_time_are_not_packed(randomise):
    block = randomise(Block(CHANNELS)).eval()
    for _ in range(3):
        infer(block)
        in_place(block.pwconv1.weight)
        in_place(block.pwconv2.weight)
    assert not packed_tensors()
