"""Whatever is wrong ends in one line that says what, and harms nothing."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from convnext_dense.cli.main import parse_args
from convnext_dense.cli.options import run_options
from convnext_dense.config.plan import USE, plan_run

pytestmark = pytest.mark.slow

cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
SCRATCH = ("--weights", "none", "--work-dir", "w")


@pytest.fixture
def spoilt(cli, shapes, tmp_path):
    """Train on a copy of the shapes after ``spoil(root, content)``; give the error."""

    def train(spoil, *flags: str, split: str = "train") -> str:
        root = tmp_path / "spoilt"
        shutil.copytree(shapes, root)
        file = root / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        spoil(root, content)
        file.write_text(json.dumps(content))
        return cli.refused("train", cli.argv("det", "--data-root", root, *SCRATCH, *flags))

    return train


@pytest.fixture
def truncated(trained, tmp_path) -> Path:
    whole = trained["seg"] / "iter_6.pth"
    path = tmp_path / "truncated.pth"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


@pytest.mark.parametrize("tool", ["train", "test"])
def test_missing_config(cli, tool):
    argv = ["no/config.py", *(["c.pth"] if tool == "test" else [])]
    assert "there is no config 'no/config.py'" in cli.refused(tool, argv)


def test_debug_shows_where(cli):
    with pytest.raises(FileNotFoundError, match="there is no config"):
        cli.call("train", ["no/config.py", "--debug"])


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_missing_data_root(cli, kind):
    message = cli.refused("train", [str(cli.config[kind]), "--data-root", "no/data", *SCRATCH])
    assert "data root no/data" in message
    assert "--data-root" in message and "CONVNEXT_DENSE_DATA" in message


def test_missing_annotation_file(cli, shapes):
    message = cli.refused("train", [str(cli.config["det"]), "--data-root", str(shapes), *SCRATCH])
    assert f"annotation file {shapes}/annotations/instances_train2017.json" in message
    assert "--ann-train" in message and "annotations/instances_train.json" in message


def test_missing_image(spoilt):
    message = spoilt(lambda root, _: (root / "train" / "000003.jpg").unlink())
    assert "train/000003.jpg; images missing, of 6: --ann-train looks for" in message


def test_other_classes(cli, shapes):
    message = cli.refused("train", cli.argv("det", "--classes", "circle,cat", *SCRATCH))
    assert "the first is 'cat'" in message
    assert "--classes circle,square,triangle,star,ring" in message


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_empty_data_set(spoilt, key):
    message = spoilt(lambda _, content: content[key].clear(), split="val")
    assert "instances_val.json" in message and "--ann-val" in message


def test_masks_wanted_but_absent(cli, boxes):
    message = cli.refused("train", cli.argv("det", "--data-root", boxes, *SCRATCH))
    assert "has no segmentation" in message and "--box-only" in message


def test_unknown_arch(cli, ade):
    options = ["--cfg-options", "model.backbone.arch=huge", "experiment_name=unknown_arch"]
    message = cli.refused("train", [str(cli.config["seg"]), *cli.flags["seg"], *SCRATCH, *options])
    assert "'huge'" in message and "tiny" in message


@pytest.mark.parametrize("flag", ["--resume", "--weights"])
def test_missing_checkpoint(cli, flag):
    message = cli.refused("train", cli.argv("seg", *SCRATCH, flag, "no.pth"))
    assert message == f"{flag} no.pth: there is no such file"


def test_missing_checkpoint_to_test(cli):
    assert cli.refused("test", cli.argv("seg", "no.pth")) == "there is no checkpoint 'no.pth'"


def test_truncated_checkpoint(cli, truncated):
    wanted = f"checkpoint {truncated} is truncated"
    assert wanted in cli.refused("test", cli.argv("seg", truncated))
    assert wanted in cli.refused("train", cli.argv("seg", *SCRATCH, "--resume", truncated))


def test_unreachable_weights_name_both_ways_out(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing is cached
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = "http://127.0.0.1:9/convnext_tiny.pth"  # nothing listens there
    argv = cli.argv("seg", "--work-dir", "w", options=f"model.backbone.init_cfg.checkpoint={url}")
    message = cli.refused("train", argv)
    assert url in message
    assert "--weights PATH" in message and "--weights none" in message


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--accumulate", "0"], "--accumulate is at least 1, got 0"),
        (["--accumulate", "99999999999"], "--accumulate is at most 10000, got 99999999999"),
        (["--batch-size", "0"], "--batch-size is at least 1, got 0"),
        (["--batch-size", "7"], "batch_size is 7, and the data set has 6 images: take 6 or fewer"),
        (["--batch-size", "1"], "batch norm cannot train on one image where its map is 1 x 1"),
        (["--work-dir", ""], "--work-dir is empty: give a value, or leave the flag out"),
        (["--data-root= "], "--data-root is empty"),
        (["--backbone", ""], "--backbone is empty"),
        (["--img-size", "0"], "--img-size is at least 32 pixels, got 0"),
        (["--classes", "one,,two"], "has an empty name"),
        (["--seed", "-1"], "--seed is from 0 to 2**32 - 1, got -1"),
    ],
)
def test_silly_values(cli, flags, complaint):
    assert complaint in cli.refused("train", cli.argv("seg", *SCRATCH, *flags))


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("modle.backbone.arch=atto", "no key modle.backbone.arch; the nearest is model.backbone."),
        ("optim_wrapper.optimizer.lr=nan", "optim_wrapper.optimizer.lr is a finite number above 0"),
        ("train_cfg.max_iters=-1", "train_cfg.max_iters is a whole number from 1, got -1"),
        ("train_dataloader.num_workers=99999999999", "train_dataloader.num_workers is at most "),
        ("val_dataloader.persistent_workers=True", "but val_dataloader.num_workers is 0"),
        ("model.backbone.arch=", "--cfg-options model.backbone.arch= has no value"),
        ("model.backbone.arch", "--cfg-options takes KEY=VALUE, got 'model.backbone.arch'"),
        ("model.backbone.out_indices=(1,2", "out_indices=(1,2: Imbalanced brackets"),
        ("val_evaluator=5", "--cfg-options: val_evaluator is a dict, but 5 is not"),
    ],
)
def test_silly_options(cli, option, complaint):
    assert complaint in cli.refused("train", cli.argv("seg", *SCRATCH, options=option))
    assert not Path("w").exists()


def planned(argv) -> Config:
    return plan_run(run_options(parse_args("train", argv)), USE).config


def test_an_unknown_key_can_be_forced(cli):
    argv = [str(cli.config["seg"]), "--cfg-options", "mine.a=1", "yours=2"]
    message = cli.refused("train", argv)
    assert message.endswith("--force-key mine.a sets it anyway")
    cfg = planned([*argv, "--force-key", "mine", "--force-key", "yours"])
    assert (cfg.mine.a, cfg.yours) == (1, 2)


@cpu_only
def test_visible_devices_without_cuda(cli, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    message = cli.refused("train", cli.argv("seg", *SCRATCH))
    assert "CUDA_VISIBLE_DEVICES=0 asks for a GPU" in message


@cpu_only
def test_nccl_without_cuda(cli, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    options = "env_cfg.dist_cfg.backend=nccl"
    argv = cli.argv("seg", *SCRATCH, "--launcher", "pytorch", options=options)
    assert "env_cfg.dist_cfg.backend=nccl needs CUDA" in cli.refused("train", argv)


@cpu_only
def test_slurm_without_cuda(cli, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    argv = cli.argv("seg", *SCRATCH, "--launcher", "slurm")
    assert "--launcher slurm needs CUDA" in cli.refused("train", argv)


@pytest.mark.parametrize(
    ("launcher", "program"), [("pytorch", "torchrun"), ("slurm", "srun"), ("mpi", "mpirun")]
)
def test_launcher_without_its_program(cli, launcher, program):
    message = cli.refused("train", cli.argv("seg", *SCRATCH, "--launcher", launcher))
    assert message.startswith(f"--launcher {launcher} finds no ")
    assert program in message


def test_an_operator_that_is_not_there(cli):
    extension = importlib.import_module("mmcv._ext")
    if getattr(extension, "__file__", None):
        pytest.skip("a compiled mmcv is installed")
    layer = "model.roi_head.bbox_roi_extractor.roi_layer.type=RoIAlignRotated"
    message = cli.refused("train", cli.argv("det", *SCRATCH, options=layer))
    assert "needs the operator 'roi_align_rotated_forward'" in message
    assert "compiled" in message and "docs/install.md says how to compile mmcv" in message


def test_failed_runs_leave_earlier_checkpoints_alone(cli, trained, truncated, tmp_path):
    shutil.copytree(trained["seg"], "w")

    def held() -> dict[str, bytes]:
        files = [*Path("w").glob("*.pth"), Path("w/last_checkpoint")]
        return {file.name: file.read_bytes() for file in files}

    before = held()
    for flags in (["--resume", truncated], ["--data-root", "no/data"], ["--seed", "-1"]):
        cli.refused("train", cli.argv("seg", *SCRATCH, *flags))
    assert held() == before


def test_an_earlier_run_in_the_work_dir_is_noted(cli, trained):
    _, out, _ = cli.call(
        "train", cli.argv("seg", *SCRATCH[:2], "--work-dir", trained["seg"], "--data-root", "no")
    )
    assert "holds iter_6.pth of an earlier run; --resume resumes it" in out


def test_a_config_that_is_a_part_of_one(cli):
    part = cli.config["seg"].parents[1] / "_base_" / "schedules" / "schedule_160k.py"
    assert "it is a part of a config" in cli.refused("train", [str(part), *SCRATCH])


def test_configs_of_mmdet_take_the_flags(cli):
    name = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
    cfg = planned([name, *cli.flags["det"], "--batch-size", "3"])
    assert cfg.work_dir == "work_dirs/mask-rcnn_r50_fpn_1x_coco"
    assert cfg.model.roi_head.mask_head.num_classes == 5
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.test_dataloader.dataset.ann_file == "annotations/instances_val.json"
