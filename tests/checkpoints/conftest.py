"""The models that published weights come from: the real libraries', or rewritten here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from convnext_dense.benchmark.peers.torchvision_stand_in import import_without_torchvision


@pytest.fixture(scope="session")
def timm():
    """timm, imported without torchvision where that is not installed."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    try:
        return import_without_torchvision("timm")
    except Exception as error:
        if importlib.util.find_spec("torchvision") is not None:
            raise
        pytest.skip(f"timm cannot be imported without torchvision: {error!r}")


@pytest.fixture(scope="session")
def transformers():
    """transformers, which must not find the stand-in for torchvision."""
    return pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(scope="session")
def references():
    """The models of ``references.py`` beside this file."""
    path = Path(__file__).with_name("references.py")
    spec = importlib.util.spec_from_file_location("weight_references", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def saved(tmp_path):
    """Write a checkpoint and give its path."""

    def save(content, name="convnext.pth", **kwargs):
        torch.save(content, tmp_path / name, **kwargs)
        return str(tmp_path / name)

    return save


@pytest.fixture
def assert_parity():
    """Assert that a backbone's raw stages equal those of a model, to 1e-5 of their size."""

    def check(backbone: nn.Module, want: list[torch.Tensor], image: torch.Tensor) -> None:
        with torch.no_grad():
            outputs = backbone.eval()(image)
        assert len(outputs) == len(want)
        for stage, (ours, theirs) in enumerate(zip(outputs, want, strict=True)):
            assert ours.shape == theirs.shape
            error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
            assert error <= 1e-5, f"stage {stage}: {error:.1e}"

    return check
