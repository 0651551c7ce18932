"""What several tests of the network share."""

from __future__ import annotations

import warnings

import pytest
import torch


@pytest.fixture(autouse=True)
def _fast_at_any_size(fast_at_any_size):
    """Show what the network promises for the fast paths too, on maps of a few pixels."""


@pytest.fixture
def check_onnx(tmp_path):
    """Export a network with free batch and size, and compare it with itself at other sizes."""

    def check(net: torch.nn.Module, image: torch.Tensor, sizes: list[tuple[int, int]]) -> None:
        for package in ("onnx", "onnxscript"):
            pytest.importorskip(package)
        onnxruntime = pytest.importorskip("onnxruntime")
        free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        path, options = str(tmp_path / "convnext.onnx"), dict(dynamo=True, verbose=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            torch.onnx.export(net, (image,), path, dynamic_shapes=(free,), **options)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for size in sizes:
            other = torch.randn(3, 3, *size)
            with torch.no_grad():
                want = net(other)
            got = session.run(None, {session.get_inputs()[0].name: other.numpy()})
            for a, b in zip(got, want, strict=True):
                torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-4, atol=1e-4)

    return check
