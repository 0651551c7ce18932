"""The way of a config into a run: one list, whose steps leave their input as it was."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from convnext_dense.config import plan as module
from convnext_dense.config import steps
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import MODEL, PREDICT, SWAP, TEST, TRAIN, USE, Plan, plan_run
from convnext_dense.config.runner import config_of_runner
from convnext_dense.training.run import KeepConfigHook

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
DET = CONFIGS / "det" / "mask_rcnn_convnext_t_coco.py"
SEG = CONFIGS / "seg" / "upernet_convnext_t_ade20k.py"
TASKS = dict(train=TRAIN, test=TEST, use=USE, model=MODEL, swap=SWAP, predict=PREDICT)


def seen(cfg: Config) -> dict:
    return copy.deepcopy(cfg.to_dict())


def take_each(task, **asked) -> Plan:
    """Take the steps one by one, and see that none changes what it gets."""
    plan = Plan(RunOptions(**asked), splits=task.splits)
    for step in task.steps:
        before, config, notes = plan, seen(plan.config), plan.notes
        plan = step(plan)
        assert seen(before.config) == config, step.__name__
        assert plan.notes[: len(notes)] == notes, step.__name__
    return plan


@pytest.fixture
def checkpoint(tmp_path) -> str:
    (tmp_path / "a.pth").touch()
    return str(tmp_path / "a.pth")


def test_steps_of_a_training_leave_their_input_as_it_was(tmp_path):
    cfg = Config.fromfile(DET)
    original = seen(cfg)
    plan = take_each(
        TRAIN,
        config=cfg,
        classes="cat,dog",
        img_size=400,
        batch_size=2,
        box_only=True,
        backbone="atto",
        recipe="convnext",
        weights="none",
        amp="bfloat16",
        accumulate=4,
        auto_scale_lr=True,
        seed=3,
        deterministic=True,
        ema=True,
        work_dir=str(tmp_path),
        cfg_options={"train_cfg.max_epochs": 2},
    )
    assert seen(cfg) == original
    cfg = plan.config
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    assert (cfg.model.backbone.arch, cfg.train_cfg.max_epochs) == ("atto", 2)
    assert cfg.optim_wrapper.accumulative_counts == 4
    assert cfg.randomness.seed == 3 and not cfg.env_cfg.cudnn_benchmark
    assert [hook.type for hook in cfg.custom_hooks][-1] == "EMAHook"
    kept = seen(plan.config)
    of_runner = config_of_runner(plan)
    assert seen(plan.config) == kept != seen(of_runner)


@pytest.mark.parametrize("config", [DET, SEG], ids=["det", "seg"])
def test_steps_of_a_test_leave_their_input_as_it_was(config, checkpoint, tmp_path):
    asked = dict(
        out=str(tmp_path / "kept.pkl"), show_dir=str(tmp_path / "shown"), tta=config == SEG
    )
    plan = take_each(TEST, config=config, checkpoint=checkpoint, **asked)
    assert plan.config.load_from == checkpoint
    assert len(plan.config.test_evaluator) > 1


@pytest.mark.parametrize("task", ["use", "model", "predict", "swap"])
def test_other_tasks(task):
    plan = take_each(TASKS[task], config=DET, backbone="nano" if task in ("use", "swap") else None)
    assert (plan.swap is not None) == (task in ("use", "swap"))


def test_nothing_that_was_asked_for_can_change_on_the_way():
    options = RunOptions("a.py")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.config = "b.py"


def test_notes_are_told_as_they_come_and_before_an_error():
    told: list[str] = []
    options = RunOptions(DET, weights="none", accumulate=2, auto_scale_lr=False, seed=-1)
    with pytest.raises(ValueError, match="`seed` is from 0"):
        plan_run(options, TRAIN, told.append)
    assert any(note.startswith("`weights='none'`") for note in told)
    assert any(note.startswith("`accumulate=2`: ") for note in told)


def test_each_step_has_a_file_of_its_own():
    """A reader finds every step of the plan in ``config/steps``, and no step that none takes."""
    files = [
        importlib.import_module(f"{steps.__name__}.{found.name}")
        for found in pkgutil.iter_modules(steps.__path__)
    ]
    own = {
        function.__name__
        for file in files
        for _, function in inspect.getmembers(file, inspect.isfunction)
        if list(inspect.signature(function).parameters) == ["plan"]
        and function.__module__ == file.__name__
        and not function.__name__.startswith("_")
    }
    taken = {step.__name__ for task in TASKS.values() for step in (*task.steps, *task.joined)}
    assert own == taken
    assert {name for name in dir(module) if name in own} == own


def test_weights_win_over_the_options_and_follow_the_arch_that_these_set():
    options = {"model.backbone.arch": "small", "model.backbone.init_cfg.checkpoint": "other.pth"}
    plan = plan_run(RunOptions(DET, weights="imagenet1k", cfg_options=options), TRAIN)
    assert plan.config.model.backbone.init_cfg.checkpoint.endswith("convnext_small_1k_224.pth")


def test_normalisation_follows_weights_but_not_against_a_wish(tmp_path):
    clip = "timm/convnext_base.clip_laion2b"
    followed = plan_run(RunOptions(DET, weights=clip), TRAIN)
    mean = followed.config.model.data_preprocessor.mean
    assert mean != Config.fromfile(DET).model.data_preprocessor.mean
    wish = {"model.data_preprocessor.mean": [123.675, 116.28, 103.53]}
    kept = plan_run(RunOptions(DET, weights=clip, cfg_options=wish), TRAIN)
    assert kept.config.model.data_preprocessor.mean == wish["model.data_preprocessor.mean"]
    assert any("model.data_preprocessor.mean stays as it was set" in note for note in kept.notes)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(amp="fp16"), "`amp` is one of None, float16, bfloat16, got 'fp16'"),
        (dict(launcher="torch"), "`launcher` is one of none, pytorch, slurm, mpi, got 'torch'"),
        (dict(accumulate=0), "`accumulate` is at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused_at_once(asked, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RunOptions(DET, **asked)


def test_a_config_without_a_file_keeps_its_name_out_of_the_way(tmp_path):
    """A config from Python has no file; the run saves it under a name of its own."""
    cfg = Config(dict(a=1))
    KeepConfigHook(cfg).before_train(SimpleNamespace(work_dir=tmp_path))
    assert Config.fromfile(tmp_path / "config.py").a == 1
