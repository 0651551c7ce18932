"""The table of architectures, against the sizes that the papers print."""

from __future__ import annotations

import pytest
import torch

from convnext_dense import ConvNeXt
from convnext_dense.backbone import ARCHS, Arch, resolve_arch

# Millions of parameters with the 1000-class head: ConvNeXt paper, table 9; ConvNeXt V2 paper,
# table 12; timm's model cards for atto to nano. Isotropic: test_isotropic.py.
PUBLISHED_MILLIONS = {
    "atto": 3.7,
    "femto": 5.2,
    "pico": 9.0,
    "nano": 15.6,
    "tiny": 28.6,
    "small": 50.2,
    "base": 88.6,
    "large": 197.8,
    "xlarge": 350.2,
    "v2_atto": 3.7,
    "v2_femto": 5.2,
    "v2_pico": 9.1,
    "v2_nano": 15.6,
    "v2_tiny": 28.6,
    "v2_base": 88.7,
    "v2_large": 198.0,
    "v2_huge": 660.3,
}


def test_every_published_name_is_there():
    isotropic = {f"iso_{size}" for size in ("small", "base", "large")}
    assert set(ARCHS) == set(PUBLISHED_MILLIONS) | isotropic


@pytest.mark.parametrize("name", PUBLISHED_MILLIONS)
def test_parameters_are_those_of_the_paper(name):
    with torch.device("meta"):  # the huge one need not be held in memory
        net = ConvNeXt(name, norm_out=False)
    width = net.arch.channels[-1]
    head = 2 * width + 1000 * (width + 1)  # its norm and its linear layer
    count = sum(param.numel() for param in net.parameters()) + head
    assert round(count / 1e6, 1) == PUBLISHED_MILLIONS[name]


def test_arch_from_a_dict():
    assert resolve_arch(dict(depths=[1, 2, 3], channels=[4, 5, 6], grn=True)) == Arch(
        (1, 2, 3), (4, 5, 6), grn=True
    )
    assert resolve_arch(dict(depths=(3, 3, 9, 3), channels=(96, 192, 384, 768))) == ARCHS["tiny"]
    assert resolve_arch(ARCHS["v2_huge"]) is ARCHS["v2_huge"]


@pytest.mark.parametrize(
    "arch, message",
    [
        ("convnext_tiny", "unknown arch 'convnext_tiny', choose one of atto.* v2_huge"),
        (dict(depths=(1,)), "keys depths and channels.*got 'depths'"),
        (dict(), "keys depths and channels.*got none"),
        (dict(depths=(1,), channels=(8,), dims=(8,)), "keys depths and channels.*'dims'"),
        (dict(depths=(1, 2), channels=(8,)), r"as many depths as channels.*\(1, 2\).*\(8,\)"),
        (dict(depths=(), channels=()), "at least one"),
        (dict(depths=(0,), channels=(8,)), r"positive integers.*depths=\(0,\)"),
        (dict(depths=(1,), channels=(8.0,)), r"positive integers.*channels=\(8.0,\)"),
        (dict(depths=(1, 2), channels=(8, 8), isotropic=True), r"isotropic.*one stage.*\(1, 2\)"),
        (dict(depths=3, channels=(8,)), "depths and channels are sequences.*depths=3"),
        (dict(depths=(1,), channels="8"), "depths and channels are sequences.*channels='8'"),
    ],
)
def test_refuses_an_arch(arch, message):
    with pytest.raises(ValueError, match=message):
        resolve_arch(arch)


@pytest.mark.parametrize("arch", [None, 3, ["tiny"]])
def test_refuses_another_type(arch):
    with pytest.raises(TypeError, match="arch is a name or dict"):
        resolve_arch(arch)
