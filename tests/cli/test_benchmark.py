"""tools/benchmark.py: what it prints, writes and refuses. None looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from convnext_dense.benchmark import ceiling
from convnext_dense.cli import benchmark

pytestmark = pytest.mark.slow

ON_CPU = ["--device", "cpu", "--rounds", "2"]
BACKBONE = ["backbone", "--arch", "atto", "--shape", "32", "48", "--min-time", "0", *ON_CPU]
cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")


@pytest.fixture(autouse=True)
def _small_ceiling(monkeypatch):
    monkeypatch.setitem(ceiling.EFFORTS, "cpu", ceiling.Effort(64, 2**16, patience=0.0))


@pytest.fixture
def measure(cli):
    """Run the tool; give what it printed."""

    def call(*argv: object) -> str:
        status, out, err = cli.call("benchmark", list(map(str, argv)))
        assert status == 0, err
        return out

    return call


@pytest.fixture
def models(cli, measure):
    """Measure small models; give the results that it wrote."""

    def call(command: str, kind: str, *argv: object, configs: tuple = ()) -> list[dict]:
        configs = configs or (cli.config[kind],)
        options = ["--cfg-options", *cli.options[kind]]
        measure(command, *configs, *ON_CPU, "--quiet", "--json", "m.json", *argv, *options)
        return json.loads(Path("m.json").read_text())["results"]

    return call


def test_backbone_prints_and_writes_what_it_measured(measure):
    files = ("--json", "a/b.json", "--plot", "b.png")
    out = measure(*BACKBONE, "--peers", "meta", "torchvision", "--parts", *files)
    assert out.startswith("atto, 1x3x32x48, fp32, infer, ")
    assert "skipped: torchvision: not offered: torchvision has tiny, small, base, large" in out
    assert "where the time of ours" in out
    assert "fastest peer / ours: " in out

    content = json.loads(Path("a/b.json").read_text())
    assert content["versions"]["torch"] == torch.__version__
    assert {"command", "processor", "device", "threads", "python", "setting"} <= set(content)
    assert content["setting"]["shape"] == [32, 48]
    (result,) = content["results"]
    assert {"arch", "flops", "ceiling", "rows", "skipped", "parts"} == set(result)
    assert [(row["network"], row["memory_format"]) for row in result["rows"]] == [
        (name, layout) for name in ("ours", "meta") for layout in ("contiguous", "channels_last")
    ]
    assert all(len(row["samples"]) == 2 for row in result["rows"])
    assert result["ceiling"]["copy_rate"] > 0
    with Image.open("b.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 100


def test_several_arches_without_peers(measure):
    argv = [*BACKBONE, "--peers", "none", "--memory-format", "contiguous", "--quiet"]
    argv[2:3] = ["atto", "v2_atto"]
    out = measure(*argv, "--mode", "train", "--dtype", "amp", "--plot", "b.png")
    heads = [line for line in out.splitlines() if ", 1x3x32x48, amp, train, " in line]
    assert [head.partition(",")[0] for head in heads] == ["atto", "v2_atto"]
    assert "meta" not in out
    assert "fastest peer" not in out


def test_tells_the_progress_unless_it_is_to_be_quiet(cli):
    argv = [*BACKBONE, "--peers", "none", "--memory-format", "contiguous"]
    assert "atto: first passes of ours" in cli.call("benchmark", argv)[2]
    assert cli.call("benchmark", [*argv, "--quiet"])[2] == ""


def test_trains_a_detector_phase_by_phase(models, cli):
    recipe, peer = cli.config["det"], "r50.py"
    text = f'_base_ = "{recipe}"\nmodel = dict(backbone=dict(drop_path_rate=0.0))\n'
    Path(peer).write_text(text)
    first, second = models(
        "train",
        "det",
        *("--shape", 64, 96, "--batch", 3, "--plot", "m.png"),
        configs=(recipe, peer),
    )
    assert [first["title"], second["title"]] == ["mask_rcnn_convnext_t_coco", "r50"]
    for row in (first, second):
        assert list(row["samples"]) == ["data", "forward", "backward", "step"]
        assert all(len(samples) == 2 for samples in row["samples"].values())
        assert (row["batch"], row["shape"], row["precision"]) == (3, [64, 96], "fp32")
        assert row["memory"] > 0
    with Image.open("m.png") as picture:
        assert picture.format == "PNG"


def test_trains_a_segmenter_in_amp_at_its_batch(models):
    (row,) = models("train", "seg", "--shape", 64, 64, "--dtype", "amp")
    assert (row["batch"], row["precision"]) == (2, "amp")


def test_a_detector_with_random_weights_finds_what_it_may_keep(models):
    (row,) = models("infer", "det", "--shape", 64, 96, "--batch", 2)
    assert list(row["samples"]) == ["data", "forward"]
    threshold, found = row["notes"]
    assert threshold.startswith("score threshold 0.0")
    number, _, unit = found.partition(" ")
    assert unit == "detections an image" and int(number) > 5


def test_segments_in_the_size_of_the_recipe(models, monkeypatch):
    monkeypatch.setattr(
        "convnext_dense.benchmark.models.recipe_shape", lambda cfg, mode: dict(infer=(64, 80))[mode]
    )
    (row,) = models("infer", "seg", "--dtype", "amp")
    assert (row["batch"], row["shape"], row["notes"]) == (1, [64, 80], [])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--arch", "atto", "huge"], "--arch: there is no arch 'huge', choose from atto, femto, "),
        (["--peers", "tim"], "--peers: there is no 'tim', choose from meta, timm, "),
        (["--shape", "31", "64"], "--shape is at least 32, got 31 64"),
        (["--rounds", "0"], "--rounds is at least 1, got 0"),
        (["--batch", "0"], "--batch is at least 1, got 0"),
        (["--drop-path", "1"], "--drop-path is in [0, 1), got 1.0"),
        (["--device", "gpu"], "--device is cpu, cuda or cuda:N, got 'gpu'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_refuses(cli, argv, message):
    assert cli.refused("benchmark", ["backbone", *argv]).startswith(message)


@cpu_only
@pytest.mark.parametrize("command", ["backbone", "train"])
def test_says_that_there_is_no_gpu(cli, command):
    configs = [str(cli.config["det"])] if command == "train" else []
    said = cli.refused("benchmark", [command, *configs, "--device", "cuda"])
    assert said == f"--device cuda: torch {torch.__version__} sees 0 GPUs"


def test_says_that_there_is_no_compiler(cli, monkeypatch):
    monkeypatch.setattr(benchmark.shutil, "which", lambda name: None)
    said = cli.refused("benchmark", [*BACKBONE, "--compile"])
    assert said.startswith("--compile needs a C++ compiler on a CPU")


def test_says_that_matplotlib_is_missing_before_it_measures(cli, monkeypatch):
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    said = cli.refused("benchmark", [*BACKBONE, "--plot", "b.png"])
    assert said == "--plot needs matplotlib: pip install matplotlib"


def test_refuses_configs_that_tables_could_not_tell_apart(cli):
    config = str(cli.config["det"])
    said = cli.refused("benchmark", ["train", config, config])
    assert said == "two configs have the name mask_rcnn_convnext_t_coco: rename one"


def test_says_that_inputs_differ(cli, measure):
    Path("three.py").write_text(
        f'_base_ = "{cli.config["seg"]}"\ntrain_dataloader = dict(batch_size=3)'
    )
    argv = ["train", cli.config["seg"], "three.py", *ON_CPU, "--quiet", "--shape", "64", "64"]
    said = "the inputs differ: --shape and --batch make them equal"
    assert said in measure(*argv, "--cfg-options", *cli.options["seg"])
    assert said not in measure(*argv, "--batch", 2, "--cfg-options", *cli.options["seg"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim_wrapper = dict()", "config part has no model: name a config with a model"),
        (
            "model = dict()",
            "config part has no optim_wrapper, which training needs",
        ),
        (
            "model = dict()\noptim_wrapper = dict()",
            "config part has no train_dataloader.batch_size: give --batch",
        ),
    ],
    ids=["model", "optimizer", "batch"],
)
def test_refuses_a_part_of_a_config(cli, text, message):
    Path("part.py").write_text(text)
    assert cli.refused("benchmark", ["train", "part.py"]) == message
