"""Weights that are kept in another layout follow the steps of optimizers and averages."""

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel, ExponentialMovingAverage
from mmengine.runner import Runner
from torch import nn
from torch.optim import swa_utils

from convnext_dense import ConvNeXt, kernels
from convnext_dense.backbone.block import Block

from .packing import CHANNELS, MARKS, assert_follows, distance, infer, packed_tensors

pytestmark = MARKS


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


@pytest.mark.slow
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


def frozen_net(randomise):
    net = ConvNeXt(dict(depths=(1,), channels=(CHANNELS,)), out_indices=(0,), frozen_stages=1)
    return randomise(net).train()


def step_of(optimizer, parameters):
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()


@pytest.mark.slow
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
