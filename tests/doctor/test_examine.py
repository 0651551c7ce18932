"""The order of an examination, and what ends it."""

import json
from dataclasses import replace

import pytest
import torch

from convnext_dense.doctor import examine as module
from convnext_dense.doctor.finding import Check, Examination, Finding, Verdict
from convnext_dense.doctor.ranks import run_ranks
from convnext_dense.doctor.training import check_checkpoints, check_training

FIT, SLOW, WRONG, NOT_SEEN = (Verdict.FIT, Verdict.SLOW, Verdict.WRONG, Verdict.NOT_SEEN)


def saying(*findings):
    return Check(findings[0].name, lambda examination: findings)


def fail(examination):
    yield Finding("before", FIT)
    raise RuntimeError("CUDA error: an illegal\nmemory access")


@pytest.fixture
def examination(tmp_path):
    return Examination(tmp_path, tmp_path)


def test_an_error_is_a_finding_and_the_rest_follows(examination):
    checks = [Check("bad", fail), saying(Finding("after", FIT))]
    found = list(module.take_checks(checks, examination, 60))
    assert [(f.name, f.verdict) for f in found] == [("before", FIT), ("bad", WRONG), ("after", FIT)]
    assert found[1].detail == "CUDA error: an illegal memory access"


def test_what_the_time_does_not_reach_is_not_seen(examination):
    found = list(module.take_checks([saying(Finding("late", FIT))], examination, -1))
    assert [(f.name, f.verdict) for f in found] == [("late", NOT_SEEN)]


def test_without_a_gpu_the_rest_is_seen(examination):
    names = [check.name for check in module._checks(examination)]
    on_gpu = [check for check in module.ON_GPU if not check.full_only]
    assert names == [
        "software",
        "resources",
        *(check.name for check in on_gpu),
        *(check.name for check in module.LAST),
    ]


def test_each_gpu_comes_before_the_cpu(tmp_path):
    checks = list(module._checks(Examination(tmp_path, tmp_path, gpus=(0, 1), full=True)))
    names = [check.name for check in checks]
    assert names.index("Triton kernels, cuda:1") < names.index("backbone beside its peers, cuda:0")
    assert names.index("torch.compile, cuda:1") < names.index("several GPUs")


@pytest.mark.slow
def test_trainings_and_their_checkpoints(examination):
    # The first folder has another run of this process: each keeps its own log.
    again = replace(examination, folder=examination.folder / "again")
    again.folder.mkdir()
    segmenter = list(check_training(examination))[1]
    assert segmenter.verdict is FIT
    found = [*check_training(again), *check_checkpoints(again)]
    assert [(f.verdict, f.detail) for f in found if f.verdict is not FIT] == []
    assert [f.name for f in found] == [
        "training of a small Mask R-CNN",
        "training of a small UperNet",
        "damaged checkpoint",
        "checkpoint",
    ]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    found = {f.name: f for f in run_ranks(tmp_path, 2, "gloo", 1000)}
    exchange, gradients, norm = found.values()
    assert exchange.verdict is FIT and exchange.figures["sum"] == 3.0
    assert gradients.verdict is FIT and gradients.name.startswith("DDP")
    assert norm.verdict is NOT_SEEN


def test_findings_as_json():
    found = [Finding("a", SLOW, figures={"ratio": 0.5}, kernel="onednn.mlp.float32")]
    content = json.loads(module.as_json(found))
    assert content["versions"]["torch"] == torch.__version__
    assert content["findings"][0]["verdict"] == "slow"
    assert content["findings"][0]["figures"] == {"ratio": 0.5}
