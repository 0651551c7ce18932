"""Weights that are kept in another layout follow every change of them."""

import copy
import gc
import pickle

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel, ExponentialMovingAverage
from mmengine.runner import Runner
from torch import nn
from torch.optim import swa_utils

from convnext_dense import ConvNeXt, kernels
from convnext_dense.backbone.block import Block
from convnext_dense.kernels import onednn

pytestmark = [
    pytest.mark.skipif(
        not onednn.available(torch.bfloat16), reason="no oneDNN operators for bfloat16 here"
    ),
    pytest.mark.usefixtures("fast_at_any_size"),
]
CHANNELS = 16


@pytest.fixture
def block(randomise):
    """A block that keeps its weights in another layout, since it ran before."""
    block = randomise(Block(CHANNELS)).eval()
    for _ in range(3):
        infer(block)
    return block


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, CHANNELS, 8, 9)


def infer(net, image=None):
    if image is None:
        image = torch.linspace(-2, 2, 2 * CHANNELS * 72).sin().view(2, CHANNELS, 8, 9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return net(image)


def infer_plainly(net):
    with kernels.plain_torch():
        return infer(net)


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


def assert_follows(net, before=None):
    """The network computes what its weights say, not what it computed before."""
    want = infer_plainly(net)
    if before is not None:
        assert distance(before, want) > 0.05
    for _ in range(3):
        assert distance(infer(net), want) < 0.02


def packed_tensors():
    gc.collect()
    return [t for t in gc.get_objects() if type(t) is torch.Tensor and t.layout == torch._mkldnn]


def in_place(weight):
    with torch.no_grad():
        weight.mul_(2)


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


class WritesPastTorch(torch.optim.Optimizer):
    """As the optimizers of some packages do."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad.data, alpha=-group["lr"])


OPTIMIZERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.5, foreach=False),
    "SGD foreach": lambda params: torch.optim.SGD(params, lr=0.5, foreach=True),
    "SGD fused": lambda params: torch.optim.SGD(params, lr=0.5, fused=True),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=0.5, foreach=False),
    "AdamW foreach": lambda params: torch.optim.AdamW(params, lr=0.5, foreach=True),
    "AdamW fused": lambda params: torch.optim.AdamW(params, lr=0.5, fused=True),
    "through .data": lambda params: WritesPastTorch(params, lr=0.5),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_step_without_a_change_of_mode(optimizer, block):
    optimizer = optimizer(block.parameters())
    for _ in range(2):
        before = infer(block)
        for p in block.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
        assert_follows(block, before)


AVERAGES = {
    "mmengine": lambda net: ExponentialMovingAverage(net, momentum=0.5),
    "torch, mean": swa_utils.AveragedModel,
    "torch, EMA": lambda net: swa_utils.AveragedModel(
        net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5)
    ),
    "torch, EMA one by one": lambda net: swa_utils.AveragedModel(
        net, avg_fn=swa_utils.get_ema_avg_fn(0.5)
    ),
}


@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES)
def test_averages_of_a_training(average, block):
    averaged = average(block)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.5)
    for _ in range(3):
        for p in block.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
        averaged.update_parameters(block)
        assert_follows(averaged)
        assert_follows(block)


class Model(BaseModel):
    """Compares what it computes in validation with plain torch."""

    def __init__(self):
        super().__init__()
        self.net = Block(CHANNELS)
        self.validated = []

    def forward(self, x, mode):
        if mode == "loss":
            return dict(loss=self.net(x).square().mean())
        for _ in range(3):
            out = infer(self.net, x)
        with kernels.plain_torch():
            want = infer(self.net, x)
        assert distance(out, want) < 0.02
        self.validated.append(want)
        return [None]


class NoMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        return {}


def test_ema_in_mmengines_loops(tmp_path):
    # The hook exchanges the weights through `.data` before each validation, and back after it.
    image = torch.randn(CHANNELS, 8, 9)
    loader = torch.utils.data.DataLoader(
        [image], collate_fn=lambda batch: dict(x=torch.stack(batch))
    )
    runner = Runner(
        model=Model(),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=Evaluator([NoMetric()]),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=5.0)),
        custom_hooks=[dict(type="EMAHook", momentum=0.01)],
        default_hooks=dict(checkpoint=None),
        experiment_name="ema",
    )
    runner.train()
    net = runner.model.net.eval()
    assert_follows(net)
    trained = infer(net, image[None])
    # What is kept now is of the trained weights; the loop validates the averaged ones.
    runner.val_loop.run()
    averaged = runner.model.validated[-1]
    assert distance(trained, averaged) > 0.05


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


def test_weights_that_change_every_time_are_not_packed(randomise):
    block = randomise(Block(CHANNELS)).eval()
    for _ in range(3):
        infer(block)
        in_place(block.pwconv1.weight)
        in_place(block.pwconv2.weight)
    assert not packed_tensors()


def frozen_net(randomise):
    net = ConvNeXt(dict(depths=(1,), channels=(CHANNELS,)), out_indices=(0,), frozen_stages=1)
    return randomise(net).train()


def step_of(optimizer, parameters):
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()


def test_frozen_weights_stay_packed_while_others_are_trained(randomise):
    net, head = frozen_net(randomise), nn.Linear(2, 2)
    # As mmengine's default constructor does, with the frozen parameters too.
    optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.5)
    image = torch.randn(1, 3, 32, 32)
    kept = []
    for _ in range(4):
        with torch.autocast("cpu", torch.bfloat16):
            net(image)
        step_of(optimizer, head.parameters())
        kept.append({id(t) for t in packed_tensors()})
    assert len(kept[1]) == 2
    assert kept[1] == kept[2] == kept[3]


def test_a_copy_of_frozen_weights_is_an_average_that_may_be_written(randomise):
    averaged = ExponentialMovingAverage(frozen_net(randomise), momentum=0.5).module
    image = torch.randn(1, 3, 32, 32)
    for _ in range(3):
        infer(averaged, image)
    for p in averaged.parameters():
        p.data.mul_(0.5)
    step_of(torch.optim.SGD([weight := nn.Parameter(torch.ones(1))], lr=0.5), [weight])
    with kernels.plain_torch():
        want = infer(averaged, image)[0]
    assert distance(infer(averaged, image)[0], want) < 0.02


def test_weights_that_are_frozen_trained_and_frozen_again(randomise):
    block = frozen_net(randomise).stages[0][0]
    optimizer = torch.optim.SGD(block.parameters(), lr=0.5, fused=True)
    for _ in range(2):
        for _ in range(3):
            before = infer(block)
        block.requires_grad_(True)
        with kernels.plain_torch():
            infer(block)
        step_of(optimizer, block.parameters())
        block.requires_grad_(False)
        assert_follows(block, before)
