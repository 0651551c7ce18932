"""Each flag of tools/train.py does what it says, seen in what the run leaves behind."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from convnext_dense import ConvNeXt

pytestmark = pytest.mark.slow

# No warm-up, so that the first step already counts.
SHORT = """
    val_cfg=None val_dataloader=None val_evaluator=None param_scheduler=None
    default_hooks.logger.interval=1 default_hooks.checkpoint.interval=2
"""
cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")


@pytest.fixture
def short_run(cli):
    """Train a segmenter without validation; give what was said."""

    def train(work_dir: str, *flags: object, iterations: int = 2) -> str:
        return cli.train(
            "seg",
            *("--weights", "none", "--seed", 0, "--work-dir", work_dir, *flags),
            options=f"{SHORT} train_cfg.max_iters={iterations}",
        )

    return train


@pytest.fixture
def rates(cli):
    """Return the learning rates of a checkpoint's parameter groups."""

    def read(checkpoint: str) -> list[float]:
        return [group["lr"] for group in cli.load(checkpoint)["optimizer"]["param_groups"]]

    return read


def dumped(work_dir: str) -> Config:
    (file,) = Path(work_dir).glob("upernet*.py")
    return Config.fromfile(file)


@cpu_only
@pytest.mark.parametrize(
    ("flags", "noted"), [(["--amp"], True), (["--amp", "bfloat16"], False)], ids=["", "bfloat16"]
)
def test_amp_trains_in_bfloat16(cli, short_run, flags, noted):
    said = short_run("amp", *flags)
    assert ("note: no CUDA: autocast runs in bfloat16" in said) == noted
    assert "training in float32" not in said
    assert dumped("amp").optim_wrapper.type == "CpuAmpOptimWrapper"
    losses = [entry["loss"] for entry in cli.logged("amp")]
    short_run("float32")
    exact = [entry["loss"] for entry in cli.logged("float32")]
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.02)


def test_seed_makes_runs_equal(cli, short_run):
    short_run("first")
    short_run("second")
    assert not cli.differing_weights("first/iter_2.pth", "second/iter_2.pth")
    short_run("other", "--seed", 1)
    assert cli.differing_weights("first/iter_2.pth", "other/iter_2.pth")


def test_auto_scale_lr_scales_with_the_images_per_step(short_run, rates):
    short_run("plain")
    short_run("scaled", "--auto-scale-lr", "--batch-size", 4)
    assert rates("scaled/iter_2.pth") == pytest.approx(
        [rate * 4 / 16 for rate in rates("plain/iter_2.pth")]
    )


def test_accumulate_makes_one_step_of_several_batches(cli, short_run, rates):
    said = short_run("w", "--accumulate", 2, "--auto-scale-lr", iterations=4)
    # 1e-4 is published for 16 images.
    assert "note: --accumulate 2: 4 images per optimizer step at learning rate 2.5e-05" in said
    saved = cli.load("w/iter_4.pth")
    assert {int(state["step"]) for state in saved["optimizer"]["state"].values()} == {2}
    assert max(rates("w/iter_4.pth")) == pytest.approx(2.5e-5)


def test_the_config_that_a_run_leaves_trains_as_that_run_did(cli, short_run, rates):
    flags = ("--accumulate", "2", "--auto-scale-lr", "--ema")
    short_run("first", *flags, iterations=4)
    short_run("resumed", *flags, "--resume", "first/iter_2.pth", iterations=4)
    for name in ("first", "resumed"):
        (left,) = Path(name).glob("upernet*.py")
        again = f"{name}_again"
        argv = [str(left), *flags, "--seed", "0", "--work-dir", again]
        # mmengine keeps loggers by name for the whole process.
        argv += ["--cfg-options", f"experiment_name={again}", f"visualizer.name={again}"]
        status, out, err = cli.call("train", argv)
        assert status == 0, err
        assert "the config has an EMAHook, which stays as it is" in out
        assert rates(f"{again}/iter_4.pth") == rates("first/iter_4.pth")
        assert not cli.differing_weights("first/iter_4.pth", f"{again}/iter_4.pth")


def test_weights_none_leaves_out_those_that_mmseg_names_in_the_model(cli, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = {str(cli.config['seg'])!r}\nmodel = dict(pretrained='open-mmlab://no_such')\n"
    )
    cli.config["pretrained"] = config
    cli.flags["pretrained"], cli.options["pretrained"] = cli.flags["seg"], cli.options["seg"]
    flags = ["--weights", "none", "--work-dir", "w"]
    cli.train("pretrained", *flags, options=f"{SHORT} train_cfg.max_iters=1")


def test_ema_is_saved_and_goes_on(cli, short_run):
    short_run("whole", "--ema", iterations=4)
    assert "EMAHook" in cli.log("whole")
    short_run("half", "--ema", "--resume", "whole/iter_2.pth", iterations=4)
    assert not cli.differing_weights("half/iter_4.pth", "whole/iter_4.pth")
    one, two = (cli.load(f"{name}/iter_4.pth") for name in ("whole", "half"))
    trained, averaged = one["ema_state_dict"], one["state_dict"]
    name = "backbone.stages.0.0.pwconv1.weight"
    assert not torch.equal(trained[f"module.{name}"], averaged[name])
    assert all(torch.equal(trained[key], two["ema_state_dict"][key]) for key in trained)


def test_deterministic(cli, monkeypatch):
    chosen = []
    for switch in ("deterministic", "benchmark"):  # given back after the test
        monkeypatch.setattr(torch.backends.cudnn, switch, False)
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda on, **kw: chosen.append((on, kw))
    )
    flags = ["--weights", "none", "--deterministic", "--work-dir", "w"]
    cli.train("seg", *flags, options=f"{SHORT} train_cfg.max_iters=1")
    assert chosen[0] == (True, dict(warn_only=True))
    assert torch.backends.cudnn.deterministic


@pytest.mark.skipif(not find_spec("tensorboard"), reason="tensorboard is an extra")
def test_tensorboard(short_run):
    short_run("w", "--tensorboard")
    assert list(Path("w").glob("*/vis_data/events.out.tfevents.*"))
    assert list(Path("w").glob("*/vis_data/scalars.json"))


def test_tensorboard_is_asked_for_by_its_extra(cli, monkeypatch):
    monkeypatch.setattr("convnext_dense.config.trackers.find_spec", lambda name: None)
    argv = cli.argv("seg", "--weights", "none", "--tensorboard", "--work-dir", "w")
    assert cli.refused("train", argv) == (
        "--log tensorboard needs tensorboard: pip install 'convnext-dense[tensorboard]'"
    )


@pytest.mark.parametrize(("stages", "frozen"), [(2, 2), ("all", 4)])
def test_freeze_leaves_the_stages_as_they_were(cli, short_run, rates, stages, frozen):
    short_run("w", "--freeze", stages, iterations=4)
    changed = cli.differing_weights("w/iter_2.pth", "w/iter_4.pth")
    of_backbone = {name.split(".")[2] for name in changed if ".stages." in name}
    assert of_backbone == {str(stage) for stage in range(frozen, 4)}
    for part in ("downsample_layers.", "norm"):
        numbers = {n.partition(f"backbone.{part}")[2][:1] for n in changed} - {""}
        assert numbers == of_backbone
    # The trained layers keep the rates that decay with depth.
    short_run("whole", "--freeze", -1)
    assert set(rates("w/iter_2.pth")) <= set(rates("whole/iter_2.pth"))
    assert (len(set(rates("w/iter_2.pth"))) == 1) == (stages == "all")


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_limit_tests_the_first_images(cli, trained, kind):
    checkpoint = trained[kind] / {"det": "epoch_3.pth", "seg": "iter_6.pth"}[kind]
    said = cli.test(kind, checkpoint, "--limit", 2, "--workers", 0, "--work-dir", "w")
    assert "note: --limit 2: a trial on at most 2 images of test" in said
    assert json.loads(Path("w/metrics.json").read_text())["images"] == 2


def test_weights_leave_the_options_of_the_config_beside_them(cli, tmp_path):
    net = ConvNeXt(dict(depths=(1, 1, 1, 1), channels=(8, 16, 32, 64)))
    plain, averaged = net.state_dict(), {k: v + 1 for k, v in net.state_dict().items()}
    averaged = {f"net.{name}": value for name, value in averaged.items()}
    torch.save(dict(model=plain, model_ema=averaged), "both.pth")
    flags = ["--weights", "both.pth", "--work-dir", "w"]
    options = "model.backbone.init_cfg.ema=True model.backbone.init_cfg.prefix=net"
    options += f" {SHORT} train_cfg.max_iters=2 optim_wrapper.optimizer.lr=1e-300"
    cli.train("seg", *flags, options=options)
    assert "under 'model_ema'" in cli.log("w")
    config = Config.fromfile(next(tmp_path.glob("w/*.py")))
    assert config.model.backbone.init_cfg == dict(
        type="Pretrained", checkpoint="both.pth", ema=True, prefix="net"
    )
    state = cli.load("w/iter_2.pth")["state_dict"]
    assert torch.equal(state["backbone.stages.0.0.gamma"], averaged["net.stages.0.0.gamma"])


def test_clips_weights_bring_their_normalisation(cli, tmp_path):
    net = ConvNeXt(dict(depths=(1, 1, 1, 1), channels=(8, 16, 32, 64)))
    torch.save({f"visual.trunk.{k}": v for k, v in net.state_dict().items()}, "tower.pth")
    flags = ["--weights", "tower.pth", "--work-dir", "w"]
    cli.train("seg", *flags, options=f"{SHORT} train_cfg.max_iters=1")
    config = Config.fromfile(next(tmp_path.glob("w/*.py")))
    assert config.model.data_preprocessor.mean == [122.7709, 116.7460, 104.0937]
    assert "images       RGB, mean 122.771, 116.746, 104.094" in cli.log("w")
