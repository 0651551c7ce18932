"""The kernels that an examination, or the environment, switches off."""

import json

import pytest
import torch

from convnext_dense import ConvNeXt, kernels
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import PREDICT, plan_run
from convnext_dense.doctor.examine import switch_off
from convnext_dense.doctor.finding import Finding, Verdict
from convnext_dense.kernels import onednn, select, switched_off

RECIPE = "mask_rcnn_convnext_t_coco"
FIT, SLOW, WRONG = Verdict.FIT, Verdict.SLOW, Verdict.WRONG


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(switched_off.ENVIRONMENT, raising=False)
    yield tmp_path
    forget()


def forget():
    switched_off.switched_off.cache_clear()
    select._switched_on.cache_clear()


def small_network():
    net = ConvNeXt(dict(depths=(1, 1, 1, 1), channels=(8, 8, 8, 8))).eval()
    return net, torch.randn(1, 3, 64, 64)


def of_kernel(kernel, verdict):
    return Finding(f"onednn {kernel}", verdict, "0.5 times as fast", kernel=kernel)


needs_onednn = pytest.mark.skipif(
    not onednn.available(torch.float32), reason="torch has no oneDNN operators here"
)


@pytest.mark.slow
@needs_onednn
@pytest.mark.usefixtures("fast_at_any_size")
def test_a_wrong_kernel_is_switched_off_on_this_machine(home, count_fast_products):
    net, image = small_network()
    with torch.no_grad():
        want = net(image)
        assert count_fast_products(net, image) > 0
        assert switch_off([of_kernel("onednn.mlp.float32", WRONG)]) == ["onednn.mlp.float32"]
        forget()
        assert count_fast_products(net, image) == 0
        assert kernels.fast_path(image, net.stages[0][0].dwconv.weight) is not None
        for own, other in zip(net(image), want, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
        switch_off([of_kernel("onednn.mlp.float32", FIT)])
        forget()
        assert count_fast_products(net, image) > 0


@pytest.mark.slow
def test_a_run_mentions_what_is_switched_off(home):
    switch_off([of_kernel("onednn.mlp.bfloat16", SLOW)])
    forget()
    notes = plan_run(RunOptions(RECIPE), PREDICT).notes
    (note,) = [note for note in notes if "switched off" in note]
    assert "onednn.mlp.bfloat16" in note and str(switched_off.kernels_file()) in note


def test_a_half_goes_only_if_all_that_it_serves_are_slow(home):
    both = [of_kernel("onednn.mlp.float32", verdict) for verdict in (SLOW, FIT)]
    assert switch_off(both) == []
    assert switch_off([both[0]]) == ["onednn.mlp.float32"]


def test_the_switches_of_another_torch_stay_and_do_not_count_here(home):
    path = switched_off.kernels_file()
    path.parent.mkdir(parents=True)
    entry = dict(kernel="onednn.mlp.float32", why="slow", device="a GPU", torch="2.7.0")
    path.write_text(json.dumps([entry]))
    forget()
    assert switched_off.switched_off(torch.device("cpu")) == {}
    switch_off([of_kernel("onednn.mlp.float32", WRONG)])
    assert entry in json.loads(path.read_text())


@pytest.mark.parametrize("content", ["{", "[1]", '[{"kernel": "rm -rf"}]', '{"kernel": 1}'])
def test_a_damaged_file_of_switches(home, content):
    path = switched_off.kernels_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    forget()
    with pytest.raises(ValueError, match=r"kernels\.json.*delete it"):
        switched_off.switched_off(torch.device("cpu"))


@pytest.mark.slow
@needs_onednn
@pytest.mark.usefixtures("fast_at_any_size")
def test_the_environment_switches_all_off(home, monkeypatch, count_fast_products):
    monkeypatch.setenv(switched_off.ENVIRONMENT, "plain")
    forget()
    assert count_fast_products(*small_network()) == 0
    notes = plan_run(RunOptions(RECIPE), PREDICT).notes
    assert any("CONVNEXT_DENSE_KERNELS=plain" in note for note in notes)


def test_another_value_of_the_variable(home, monkeypatch):
    monkeypatch.setenv(switched_off.ENVIRONMENT, "fast")
    with pytest.raises(ValueError, match="CONVNEXT_DENSE_KERNELS is plain or not set, got 'fast'"):
        switched_off.all_switched_off()
