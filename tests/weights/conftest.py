"""The models that published weights come from: the real libraries', or rewritten here."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn


class Anything(type):
    """A class whose attributes are such classes again, as an enumeration's members would be."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers every import below ``torchvision`` with a module that has any name.

    timm imports torchvision for image transforms, and its ConvNeXt uses none of it. torchvision's
    builds for the CPU load only beside the torch that they were made for.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: getattr(Anything("Torchvision", (), {}), name)
        return module

    def exec_module(self, module):
        pass


@pytest.fixture(scope="session")
def timm():
    """timm, imported without torchvision where that is not installed."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    if importlib.util.find_spec("torchvision") is not None or "timm" in sys.modules:
        return importlib.import_module("timm")
    stand_in = StandIn()
    sys.meta_path.insert(0, stand_in)
    try:
        return importlib.import_module("timm")
    except Exception as error:
        pytest.skip(f"timm cannot be imported without torchvision: {error!r}")
    finally:
        sys.meta_path.remove(stand_in)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


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
