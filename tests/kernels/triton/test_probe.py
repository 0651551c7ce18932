"""Whether the kernels are used; no Triton is needed to find out that they are not."""

import subprocess
import sys
import warnings

import pytest
import torch

from convnext_dense.kernels.triton import available, probe

CUDA = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU of a given capability."""

    def pretend(capability, find_error):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(probe, "_largest_error", find_error)

    probe._probe.cache_clear()
    yield pretend
    probe._probe.cache_clear()


@pytest.mark.slow
def test_importing_the_package_does_not_import_triton():
    code = "import sys; sys.modules['triton'] = None; import convnext_dense.kernels.triton"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_only_cuda():
    assert not available(torch.device("cpu"), torch.float32)
    assert not available(torch.device("meta"), torch.float32)


def test_not_in_float64(gpu):
    gpu((9, 0), lambda device, dtype: 0.0)
    assert not available(CUDA, torch.float64)


def test_not_before_ampere(gpu):
    gpu((7, 5), lambda device, dtype: pytest.fail("compiled for a device that is too old"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not available(CUDA, torch.float32)


def test_compiles_once_for_each_type(gpu):
    calls = []
    gpu((9, 0), lambda *of: calls.append(of) or 1e-7)
    for _ in range(2):
        assert available(CUDA, torch.float32)
        assert available(CUDA, torch.bfloat16)
    assert calls == [(CUDA, torch.float32), (CUDA, torch.bfloat16)]


def test_one_type_may_fail_alone(gpu):
    gpu((9, 0), lambda device, dtype: float(dtype == torch.float16))
    assert available(CUDA, torch.bfloat16)
    with pytest.warns(UserWarning, match="do not run in float16 on cuda:0"):
        assert not available(CUDA, torch.float16)


def test_a_failure_is_told_once_with_its_reason(gpu):
    def fail(device, dtype):
        raise RuntimeError("Failed to find C compiler")

    gpu((9, 0), fail)
    with pytest.warns(UserWarning, match=r"cuda:0.*RuntimeError: Failed to find C compiler"):
        assert not available(CUDA, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not available(CUDA, torch.float32)


@pytest.mark.parametrize("error", [0.5, float("inf")])
def test_wrong_results_are_not_used(gpu, error):
    gpu((9, 0), lambda device, dtype: error)
    with pytest.warns(UserWarning, match=f"their error is {error:.2g}"):
        assert not available(CUDA, torch.float32)
