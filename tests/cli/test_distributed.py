"""Two processes on CPUs, started as a user starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        torch.cuda.is_available() or not dist.is_gloo_available(), reason="gloo without CUDA"
    ),
]
ROOT = Path(__file__).parents[2]
CASCADE = ROOT / "configs" / "det" / "cascade_convnext_t_coco.py"
TINY_CASCADE = """
    model.neck.in_channels=8,16,32,64 model.neck.out_channels=16
    model.rpn_head.in_channels=16 model.rpn_head.feat_channels=16
    model.roi_head.bbox_roi_extractor.out_channels=16
    model.roi_head.mask_roi_extractor.out_channels=16 model.roi_head.mask_head.in_channels=16
    model.roi_head.mask_head.conv_out_channels=16
    model.train_cfg.rpn_proposal.nms_pre=50 model.train_cfg.rpn_proposal.max_per_img=50
""" + " ".join(
    f"model.roi_head.bbox_head.{i}.in_channels=16 model.roi_head.bbox_head.{i}.conv_out_channels=16"
    f" model.roi_head.bbox_head.{i}.fc_out_channels=32 model.train_cfg.rcnn.{i}.sampler.num=16"
    for i in range(3)
)
KEEPING = """
_base_ = {recipe!r}

custom_imports = dict(imports=["convnext_dense", "all_ranks"])
custom_hooks = [dict(type="KeepWeightsHook")]
"""
# All that two processes would do otherwise than one: batch norm, chance, images of several sizes.
PLAIN = """
group_norm = dict(type="GN", num_groups=4)
model = dict(
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(norm_cfg=group_norm, dropout_ratio=0.0),
    auxiliary_head=dict(norm_cfg=group_norm, dropout_ratio=0.0),
)
train_dataloader = dict(
    sampler=dict(shuffle=False),
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", reduce_zero_label=True),
            dict(type="RandomCrop", crop_size=(64, 80)),
            dict(type="PackSegInputs"),
        ]
    ),
)
"""
NO_VALIDATION = "val_cfg=None val_dataloader=None val_evaluator=None"


@pytest.fixture
def two_processes(free_port):
    """Run ``tools/dist_train.sh``; give what it said."""

    def train(argv: list[str]) -> str:
        done = subprocess.run(
            ["bash", str(ROOT / "tools" / "dist_train.sh"), argv[0], "2", *argv[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env={
                **os.environ,
                **dict(
                    PORT=free_port,
                    PYTHON=sys.executable,
                    PYTHONPATH=f"{Path(__file__).parent}:{ROOT}",
                ),
                **dict(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
            },
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return train


@pytest.fixture
def config(tmp_path):
    """Write a config that inherits from a recipe and keeps every process's weights."""

    def write(recipe: Path, more: str = "") -> Path:
        path = tmp_path / "config.py"
        path.write_text(KEEPING.format(recipe=str(recipe)) + more)
        return path

    return write


def weights(file: str) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)


def test_a_recipe_trains_to_equal_weights(cli, config, two_processes):
    cli_options = f"{NO_VALIDATION} train_cfg.max_epochs=1 param_scheduler.0.end=2"
    options = [
        *cli.tiny_backbone,
        *TINY_CASCADE.split(),
        *cli_options.split(),
        "train_dataloader.num_workers=0",
    ]
    said = two_processes(
        [
            str(config(CASCADE)),
            *cli.flags["det"],
            *("--weights", "none", "--seed", "0", "--work-dir", "w", "--batch-size", "1"),
            *("--cfg-options", *options),
        ]
    )
    assert said.count("note: SyncBN needs CUDA: batch norm works per process instead") == 1
    assert said.count("left the others: True") == 2
    titles = [line.split()[0] for line in said.splitlines() if line.strip()]
    assert [titles.count(title) for title in ("recipe", "model", "last")] == [1, 1, 1]
    assert "mmengine - INFO" not in said and "UserWarning" not in said
    first, second = weights("w/rank0.pth"), weights("w/rank1.pth")
    differing = {name for name in first if not torch.equal(first[name], second[name])}
    # What batch norm saw is each process's own.
    assert all("running_" in name for name in differing)
    assert any(name.startswith("roi_head.mask_head") for name in first)


def test_two_processes_equal_one_with_twice_the_batch(cli, config, two_processes, monkeypatch):
    cli.config["plain"] = config(cli.config["seg"], PLAIN)
    cli.flags["plain"], cli.options["plain"] = cli.flags["seg"], cli.options["seg"]

    def argv(work_dir: str, batch: int) -> list[str]:
        flags = ["--weights", "none", "--seed", 0, "--work-dir", work_dir, "--batch-size", batch]
        argv = cli.argv("plain", *flags, options=f"{NO_VALIDATION} train_cfg.max_iters=4")
        return [arg for arg in argv if not arg.startswith("val_dataloader.")]

    two_processes(argv("two", 1))
    monkeypatch.syspath_prepend(Path(__file__).parent)
    for work_dir, batch in (("one", 2), ("half", 1)):
        status, _, err = cli.call("train", argv(work_dir, batch))
        assert status == 0, err
    first, second, one, half = (
        weights(f"{name}.pth") for name in ("two/rank0", "two/rank1", "one/rank0", "half/rank0")
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    tolerance = 1e-6
    torch.testing.assert_close(first, one, rtol=tolerance, atol=tolerance)
    # The tolerance is small beside what the second image changes.
    assert max((first[name] - half[name]).abs().max() for name in first) > 100 * tolerance


@pytest.fixture
def dist_run(free_port):
    """Call ``tools/dist_run.sh``; return its exit status and what it said."""

    def call(*argv: str, **env: str) -> tuple[int, str]:
        env = dict(PORT=free_port, PYTHON=sys.executable, OMP_NUM_THREADS="1") | env
        done = subprocess.run(
            ["bash", str(ROOT / "tools" / "dist_run.sh"), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env=os.environ | env,
        )
        return done.returncode, done.stdout

    return call


def test_a_lost_worker_is_started_again(dist_run):
    status, said = dist_run("../tests/cli/lost_worker.py", "2", MAX_RESTARTS="1")
    assert status == 0, said
    assert said.count("attempt 1: 2 processes") == 2
    assert "attempt 0:" not in said


def test_a_taken_port_is_named(dist_run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = dist_run("train.py", "2", PORT=port)
    assert status == 1
    assert said == (
        f"error: port {port} cannot be used (Address already in use): choose another, such as "
        "PORT=29501, on every machine\n"
    )


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "1.5"])
def test_a_port_that_is_none_is_named(dist_run, port):
    assert dist_run("train.py", "2", PORT=port) == (
        1,
        f"error: PORT={port} is not a port: choose one from 1024 to 65535\n",
    )
