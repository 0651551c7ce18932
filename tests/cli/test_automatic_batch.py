"""``--batch-size auto`` with a memory that holds a given number of images, in place of a GPU's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from convnext_dense.config.read_config import read_config
from convnext_dense.config.steps.data import retarget
from convnext_dense.training import fit_batch

pytestmark = pytest.mark.slow

SHORT = "val_cfg=None val_dataloader=None val_evaluator=None train_cfg.max_iters=2"
cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")


@pytest.fixture
def memory(monkeypatch):
    """Return a function that sets how many images fit, and the list of the sizes tried."""
    tried: list[int] = []
    monkeypatch.setattr("convnext_dense.config.steps.data._stated_batch_size", number)
    step = fit_batch.Trial._step

    def hold(images: int) -> list[int]:
        def take(trial, size: int) -> None:
            tried.append(size)
            if size > images:
                raise torch.OutOfMemoryError("CUDA out of memory")
            step(trial, size)

        monkeypatch.setattr(fit_batch.Trial, "_step", take)
        return tried

    return hold


def number(plan) -> int | None:
    size = plan.options.batch_size
    return size if isinstance(size, int) else None


def train(cli, work_dir: str, *flags: object) -> str:
    flags = ("--weights", "none", "--seed", 0, "--work-dir", work_dir, *flags)
    return cli.train("seg", *flags, options=SHORT)


@cpu_only
def test_the_run_is_that_with_the_number_that_fits(cli, memory):
    tried = memory(3)
    said = train(cli, "found", "--batch-size", "auto", "--ema")
    assert "--batch-size auto: 3 images per process fit; the learning rate is 1.88e-05" in said
    assert sorted(set(tried)) == [2, 3, 4]
    cfg = Config.fromfile(next(Path("found").glob("upernet*.py")))
    assert cfg.train_dataloader.batch_size == 3 and cfg.auto_scale_lr.enable
    train(cli, "stated", "--batch-size", 3, "--auto-scale-lr", "--ema")
    assert not cli.differing_weights("found/iter_2.pth", "stated/iter_2.pth")
    one, two = (cli.load(f"{run}/iter_2.pth")["optimizer"] for run in ("found", "stated"))
    rates = [[group["lr"] for group in each["param_groups"]] for each in (one, two)]
    assert rates[0] == rates[1]


@cpu_only
def test_all_images_may_fit(cli, memory):
    memory(10**6)
    said = train(cli, "w", "--batch-size", "auto", "--cfg-options", "auto_scale_lr=None")
    assert "auto: 6 images per process fit, which is all images; the learning rate stays" in said


@cpu_only
def test_nothing_fits(cli, memory):
    tried = memory(0)
    argv = cli.argv("seg", "--weights", "none", "--work-dir", "w", "--batch-size", "auto")
    assert cli.refused("train", argv).startswith("--batch-size auto: not even one image fits")
    assert tried == [2, 1]


@cpu_only
@pytest.mark.parametrize(
    ("tool", "before", "after", "message"),
    [
        (
            "train",
            [],
            [],
            "--batch-size auto tries what fits into a GPU's memory, but torch sees no",
        ),
        ("test", [], ["a.pth"], "--batch-size auto is for a training: give a number"),
    ],
)
def test_where_there_is_nothing_to_try_it_is_refused(cli, tool, before, after, message):
    argv = [str(cli.config["det"]), *after, "--batch-size", "auto"]
    assert cli.refused(tool, argv).startswith(message)


def test_samples_have_the_largest_size_and_the_most_objects(cli, shapes):
    cfg = retarget(
        read_config(str(cli.config["det"])),
        data_root=str(shapes),
        classes="square,circle,triangle",
        ann_train="annotations/instances_train.json",
    )
    samples, images = fit_batch.heaviest_samples(cfg)
    assert images == 6
    sizes = [sample["inputs"].shape[-2:] for sample in samples]
    assert max(map(min, sizes)) == 800  # of the scales from 480 to 800
    assert max(sizes, key=lambda size: size[0] * size[1]) == sizes[0]
