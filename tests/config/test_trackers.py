"""A tracker is ready before a run, or one line says what is missing."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import vis_backend  # noqa: F401  registers its classes

from convnext_dense.config import trackers
from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config.steps.logging import set_logging
from convnext_dense.config.trackers import TRACKERS, find_trackers
from convnext_dense.training.observer import RunObserver, send_to_observer

LOGIN = ("WANDB_MODE", "NETRC", "CLEARML_OFFLINE_MODE", "CLEARML_API_ACCESS_KEY")


@pytest.fixture(autouse=True)
def _all_installed(monkeypatch, tmp_path):
    """Let every package be there, and no login."""
    monkeypatch.setattr(trackers, "find_spec", lambda module: module)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "clearml.conf"))
    for name in LOGIN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wandb(monkeypatch) -> SimpleNamespace:
    """Stand in for W&B and return its settings, which are those of a fresh installation."""
    settings = SimpleNamespace(
        mode="online", api_key=None, identity_token_file=None, base_url="https://wandb.example"
    )
    stand_in = SimpleNamespace(setup=lambda: SimpleNamespace(settings=settings))
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return settings


def logged(log, **cfg) -> Plan:
    return set_logging(Plan(RunOptions("a.py", log=log), Config(dict(work_dir="w", **cfg))))


def test_every_backend_of_mmengine_has_a_name():
    named = {tracker.backend for tracker in TRACKERS.values()}
    upstream = {
        name for name, one in VISBACKENDS.module_dict.items() if "mmengine" in one.__module__
    }
    assert named == upstream - {"LocalVisBackend"}


@pytest.mark.parametrize("name", sorted(set(TRACKERS) - {"wandb", "clearml"}))
def test_mmengine_builds_the_backend_with_its_arguments(name):
    (_, backend) = logged(name).config.visualizer.vis_backends
    VISBACKENDS.build(dict(backend, save_dir="w"))


def test_names_are_separated_by_commas_and_count_once():
    plan = logged(" mlflow,tensorboard ,mlflow")
    kinds = [backend.type for backend in plan.config.visualizer.vis_backends]
    assert kinds == ["LocalVisBackend", "MLflowVisBackend", "TensorboardVisBackend"]
    assert plan.notes == ("`log`: also to mlflow, tensorboard",)


def test_tensorboard_is_the_same_by_its_own_option():
    options = RunOptions("a.py", tensorboard=True, log=["aim"])
    plan = set_logging(Plan(options, Config(dict(work_dir="w"))))
    asked = logged("aim,tensorboard").config
    assert plan.config.to_dict() == asked.to_dict()


def test_a_backend_of_the_config_stays():
    own = dict(type="mmengine.TensorboardVisBackend", save_dir="s")
    cfg = logged("tensorboard", visualizer=dict(vis_backends=[own])).config
    assert cfg.visualizer.vis_backends == [own]


@pytest.mark.parametrize(
    ("name", "listed"),
    [("wanbd", "take wandb,"), ("", "take "), ("tensorbord", "take tensorboard")],
)
def test_an_unknown_name_gets_the_nearest_first(name, listed):
    with pytest.raises(ValueError, match=f"^`log={name!r}`: there is no such tracker, {listed}"):
        find_trackers([name])


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    with pytest.raises(ImportError) as error:
        find_trackers(["dvclive"])
    assert str(error.value) == (
        "`log='dvclive'` needs dvclive, pygit2: pip install 'convnext-dense[dvclive]'"
    )


def test_wandb_without_a_login_is_refused(wandb, monkeypatch):
    with pytest.raises(ValueError, match=r"^`log='wandb'` has no login: run `wandb login`"):
        find_trackers(["wandb"])
    monkeypatch.setenv("RANK", "1")  # which logs nothing
    find_trackers(["wandb"])


@pytest.mark.parametrize(
    "login",
    [dict(mode="offline"), dict(mode="disabled"), dict(api_key="k"), dict(identity_token_file="f")],
    ids=lambda login: next(iter(login)),
)
def test_wandb_with_a_login_or_offline(wandb, login):
    vars(wandb).update(login)
    find_trackers(["wandb"])


def test_wandb_with_a_login_in_the_file_of_its_own_host(wandb, tmp_path):
    file = tmp_path / ".netrc"
    file.write_text("machine other.example login user password x\n")
    file.chmod(0o600)
    with pytest.raises(ValueError, match="no login"):
        find_trackers(["wandb"])
    file.write_text("machine wandb.example login user password x\n")
    find_trackers(["wandb"])
    file.write_text("machine")
    with pytest.raises(ValueError, match="no login"):
        find_trackers(["wandb"])


@pytest.mark.parametrize("login", ["CLEARML_OFFLINE_MODE", "CLEARML_API_ACCESS_KEY", "file"])
def test_clearml(login, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"^`log='clearml'` has no login: run `clearml-init`"):
        find_trackers(["clearml"])
    if login == "file":
        (tmp_path / "clearml.conf").touch()
    else:
        monkeypatch.setenv(login, "1")
    find_trackers(["clearml"])


def test_mmengine_finds_the_stream_of_an_observed_log():
    """MLflow's backend looks whether it is closed."""
    logger = logging.Logger("observed")
    logger.addHandler(printing := logging.StreamHandler())
    send_to_observer(logger, RunObserver())
    assert logger.handlers != [printing]
    assert logger.handlers[0].stream is printing.stream
