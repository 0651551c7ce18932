"""A run that is resumed with other settings says which of them take effect."""

from __future__ import annotations

import shutil

import pytest
import torch
from mmengine.config import Config

from convnext_dense.config.plain_config import read_plain_config

pytestmark = pytest.mark.slow


@pytest.fixture
def resume(cli, trained, tmp_path):
    """Resume a copy of the segmenter's run from the middle; give what was said."""

    def run(*flags: object, options: str = "") -> str:
        shutil.copytree(trained["seg"], tmp_path / "w")
        start = ["--resume", trained["seg"] / "iter_4.pth", "--weights", "none", "--work-dir", "w"]
        return cli.train(
            "seg", *start, *flags, options=cli.short_run["seg"] + options, workers=True
        )

    return run


def test_the_same_settings_are_not_mentioned(resume):
    said = resume("--seed", 0)
    assert "without effect" not in said
    assert "with effect" not in said
    assert "note: --resume: resuming from" in said


def test_says_what_stays_and_what_changes_and_keeps_the_config_true(cli, resume, tmp_path):
    said = resume(
        *("--seed", 5, "--batch-size", 3),
        options=" optim_wrapper.optimizer.lr=0.5 optim_wrapper.optimizer.weight_decay=0.25"
        " param_scheduler.0.end=5 train_cfg.max_iters=8 model.backbone.drop_path_rate=0.0",
    )
    (stays,) = [line for line in said.splitlines() if "without effect" in line]
    (changes,) = [line for line in said.splitlines() if "with effect from here on" in line]
    for text in ("randomness.seed stays 0, not 5", ".lr stays 0.0001, not 0.5", "param_scheduler"):
        assert text in stays
    assert "optim_wrapper.optimizer.weight_decay stays 0.05, not 0.25" in stays
    assert "train_dataloader.batch_size is 3, it was 2" in changes
    assert "train_cfg.max_iters is 8, it was 6" in changes
    assert "model.backbone.drop_path_rate is 0.0" in changes

    (written,) = tmp_path.glob("w/*.py")
    *_, shown = sorted(tmp_path.glob("w/*/vis_data/config.py"))
    saved = cli.load("w/iter_8.pth")
    for cfg in (
        read_plain_config(written),
        read_plain_config(shown),
        Config.fromstring(saved["meta"]["cfg"], ".py"),
    ):
        assert cfg.optim_wrapper.optimizer.lr == 0.0001
        assert cfg.optim_wrapper.optimizer.weight_decay == 0.05
        assert cfg.param_scheduler[0].end == 2
        assert cfg.randomness.seed == saved["meta"]["seed"] == 0
        assert cfg.train_dataloader.batch_size == 3
        assert cfg.train_cfg.max_iters == 8
    groups = saved["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} <= {0.0, 0.05}


def test_another_length_is_refused(cli, trained):
    start = ["--resume", trained["seg"] / "iter_4.pth", "--weights", "none", "--work-dir", "w"]
    said = cli.refused("train", cli.argv("seg", *start, "--iters", 9))
    assert said.startswith(
        "--iters 9: the run has 9 iterations, and the one to resume has 6 iterations, for which "
        "its schedule was made. "
    )


def test_a_checkpoint_without_its_config_says_so(cli, resume, trained, tmp_path):
    checkpoint = cli.load(trained["seg"] / "iter_4.pth")
    del checkpoint["meta"]["cfg"]
    torch.save(checkpoint, tmp_path / "bare_4.pth")
    said = cli.train(
        "seg",
        *("--resume", tmp_path / "bare_4.pth", "--weights", "none", "--work-dir", "v"),
        options=cli.short_run["seg"] + " optim_wrapper.optimizer.lr=0.5",
    )
    assert "settings are not compared" in said
    assert "has no meta.cfg" in said
