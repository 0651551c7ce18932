"""Kernels with a wrong sign, that fail or that are slow are found by name."""

import importlib.util
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from convnext_dense.doctor import kernels as module
from convnext_dense.doctor.block_kernels import halves
from convnext_dense.doctor.finding import Verdict
from convnext_dense.kernels import onednn, reference

pytestmark = pytest.mark.skipif(
    not onednn.available(torch.float32), reason="torch has no oneDNN operators here"
)
SHAPE = (1, 5, 6, 16)


def examine(functions, timed=()):
    return [
        module.examine_kernel("onednn", kernel, torch.device("cpu"), torch.float32, timed, [SHAPE])
        for kernel in halves(functions, torch.float32)
    ]


def with_mlp(mlp):
    return SimpleNamespace(conv_norm=onednn.conv_norm, mlp=mlp)


def test_ours_are_equal_to_plain_torch():
    assert {f.verdict for f in examine(onednn)} == {Verdict.FIT}


def test_a_wrong_sign():
    def conv_norm(*args):
        return -onednn.conv_norm(*args)

    found = examine(SimpleNamespace(conv_norm=conv_norm, mlp=onednn.mlp))
    assert [f.verdict for f in found] == [Verdict.WRONG, Verdict.FIT, Verdict.FIT]
    assert "convolution and norm" in found[0].name and "the result differs" in found[0].detail
    assert found[0].kernel == "onednn.conv_norm.float32"


def test_a_wrong_gradient():
    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad / 2

    def mlp(shortcut, y, parameters, scale):
        return onednn.mlp(shortcut, y, parameters._replace(b2=Halved.apply(parameters.b2)), scale)

    found = examine(with_mlp(mlp))
    assert [f.verdict for f in found] == [Verdict.FIT, Verdict.WRONG, Verdict.WRONG]
    assert all("gradient of b2" in f.detail for f in found[1:])


def test_not_a_number():
    found = examine(with_mlp(lambda *args: reference.mlp(*args) * float("nan")))
    assert [f.verdict for f in found[1:]] == [Verdict.WRONG] * 2


def test_one_that_fails():
    def mlp(*args):
        raise RuntimeError("an illegal memory access was encountered")

    found = examine(with_mlp(mlp))
    assert found[1].verdict is Verdict.WRONG and "illegal memory access" in found[1].detail


@pytest.mark.slow
def test_a_slow_one():
    def mlp(*args):
        time.sleep(0.05)
        return onednn.mlp(*args)

    found = examine(with_mlp(mlp), timed=[SHAPE])
    assert [f.verdict for f in found[1:]] == [Verdict.SLOW] * 2
    assert found[1].figures["ratio"] < 0.9 and found[1].kernel == "onednn.mlp.float32"


# Run in a process of its own: Triton chooses its interpreter when it is imported.
INTERPRETED = """
import contextlib, sys, torch
from convnext_dense.doctor import kernels
from convnext_dense.doctor.block_kernels import halves, triton_kernels
from convnext_dense.kernels.triton import mlp, operators, residual

torch.cuda.device = lambda device: contextlib.nullcontext()
if sys.argv[1] == "wrong sign":
    right = residual.scale_and_sum
    def wrong(grad, gamma, scale, dtype):
        return right(-grad, gamma, scale, dtype)
    residual.scale_and_sum = mlp.scale_and_sum = wrong
shapes = [(1, 3, 4, 32), kernels.EMPTY]
cpu = torch.device("cpu")
for kernel in (*triton_kernels(torch.float32), *halves(operators, torch.float32)):
    found = kernels.examine_kernel("triton", kernel, cpu, torch.float32, [], shapes)
    print(found.verdict.value, kernel.name, found.detail, sep=" | ")
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("planted", ["nothing", "wrong sign"])
def test_the_kernels_of_a_gpu_under_the_interpreter(planted):
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED, planted],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split(" | ") for line in run.stdout.splitlines()]
    assert len(lines) == 13
    wrong = [name for verdict, name, _ in lines if verdict != "fit"]
    backward = ["gradient of the residual sum", "MLP", "MLP with GRN"]
    assert wrong == (backward if planted == "wrong sign" else [])
