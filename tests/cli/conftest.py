"""The real tools on data sets and models small enough to train in seconds."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.program import use_program
from convnext_dense.data.shapes import CLASSES, make_shapes
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
DETECTOR = ROOT / "configs" / "det" / "mask_rcnn_convnext_t_coco.py"
SEGMENTER = ROOT / "configs" / "seg" / "upernet_convnext_t_ade20k.py"

TINY_BACKBONE = """
    model.backbone.arch._delete_=True model.backbone.arch.depths=1,1,1,1
    model.backbone.arch.channels=8,16,32,64
"""
TINY_DETECTOR = f"""
    {TINY_BACKBONE} model.neck.in_channels=8,16,32,64 model.neck.out_channels=16
    model.rpn_head.in_channels=16 model.rpn_head.feat_channels=16
    model.roi_head.bbox_roi_extractor.out_channels=16 model.roi_head.bbox_head.in_channels=16
    model.roi_head.bbox_head.fc_out_channels=32
    model.roi_head.mask_roi_extractor.out_channels=16 model.roi_head.mask_head.in_channels=16
    model.roi_head.mask_head.conv_out_channels=16
    model.train_cfg.rcnn.sampler.num=16 model.train_cfg.rpn_proposal.nms_pre=50
    model.train_cfg.rpn_proposal.max_per_img=50 model.test_cfg.rpn.nms_pre=50
    model.test_cfg.rpn.max_per_img=20
    param_scheduler.0.end=2
""".split()
TINY_SEGMENTER = f"""
    {TINY_BACKBONE} model.decode_head.in_channels=8,16,32,64 model.decode_head.channels=8
    model.auxiliary_head.in_channels=32 model.auxiliary_head.channels=8
    param_scheduler.0.end=2
""".split()
NO_WORKERS = [
    "train_dataloader.num_workers=0",
    "val_dataloader.num_workers=0",
    "test_dataloader.num_workers=0",
    "val_dataloader.persistent_workers=False",
    "test_dataloader.persistent_workers=False",
]
DETECTOR_RUN = "train_cfg.max_epochs=3 default_hooks.logger.interval=1"
SEGMENTER_RUN = """
    train_cfg.max_iters=6 train_cfg.val_interval=2 default_hooks.checkpoint.interval=2
    default_hooks.logger.interval=1
"""
SEGMENTS = ("left", "right", "disc")

RUNS = count()


@pytest.fixture(autouse=True)
def _files_of_tools():
    """Let messages name the files of tools/, whatever program an earlier test ran as."""
    yield
    use_program("")


@pytest.fixture(scope="package")
def shapes(tmp_path_factory) -> Path:
    """A COCO data set of 6 and 4 images of 96 pixels."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, train=6, val=4, size=96)
    return root


@pytest.fixture(scope="package")
def ade(tmp_path_factory) -> Path:
    """A data set in ADE20K's layout: 6 and 3 images of 80 x 64 pixels, 0 is unlabelled."""
    root = tmp_path_factory.mktemp("data") / "ade"
    rng = np.random.default_rng(0)
    for split, number in (("training", 6), ("validation", 3)):
        (root / "images" / split).mkdir(parents=True)
        (root / "annotations" / split).mkdir(parents=True)
        for index in range(number):
            labels = np.ones((64, 80), np.uint8)
            labels[:, 40:] = 2
            y, x = np.mgrid[:64, :80]
            centre = rng.uniform(16, 48, 2)
            labels[np.hypot(y - centre[0], x - centre[1]) < 12] = 3
            labels[:4] = 0
            picture = np.stack([labels * 60] * 3, -1) + rng.integers(0, 30, (64, 80, 3))
            Image.fromarray(picture.astype(np.uint8)).save(root / "images" / split / f"{index}.jpg")
            Image.fromarray(labels).save(root / "annotations" / split / f"{index}.png")
    return root


@pytest.fixture(scope="package")
def boxes(shapes, tmp_path_factory) -> Path:
    """The data set of shapes without masks."""
    root = tmp_path_factory.mktemp("data") / "boxes"
    shutil.copytree(shapes, root)
    for file in (root / "annotations").iterdir():
        content = json.loads(file.read_text())
        for annotation in content["annotations"]:
            del annotation["segmentation"]
        file.write_text(json.dumps(content))
    return root


class Cli:
    """Calls the tools in this process, as ``python tools/<tool>.py`` would."""

    def __init__(self, shapes: Path, ade: Path) -> None:
        det = f"--data-root {shapes} --classes {','.join(CLASSES)} --img-size 96"
        det += " --ann-train annotations/instances_train.json"
        det += " --ann-val annotations/instances_val.json"
        seg = f"--data-root {ade} --classes {','.join(SEGMENTS)} --img-size 64"
        # What a user gives for data of their own, and what makes the model small.
        self.flags = {"det": det.split(), "seg": seg.split()}
        self.options = {"det": TINY_DETECTOR, "seg": TINY_SEGMENTER}
        self.config = {"det": DETECTOR, "seg": SEGMENTER}
        # Three epochs, or three times two iterations, with a checkpoint of each.
        self.short_run = {"det": DETECTOR_RUN, "seg": SEGMENTER_RUN}
        self.tiny_backbone = TINY_BACKBONE.split()

    def argv(self, kind: str, *args: object, options: str = "", workers: bool = False) -> list[str]:
        """Return the arguments that train or test the small model of a kind, ``det`` or ``seg``.

        ``args`` come after the flags for the data, so that they win over them. ``workers`` lets
        processes load the training data, as in the recipes.
        """
        options = [*self.options[kind], *NO_WORKERS, *options.split()]
        if "--box-only" in args:
            options = [option for option in options if "mask" not in option]
        if workers:
            options.append("train_dataloader.num_workers=2")
        # mmengine keeps loggers and visualizers by name for the whole process.
        names = [f"{key}=cli{next(RUNS)}" for key in ("experiment_name", "visualizer.name")]
        config, *args = (str(self.config[kind]), *map(str, args))
        # tools/test.py takes the checkpoint first.
        place = int(bool(args) and args[0].endswith((".pth", ".onnx")))
        args = [*args[:place], *self.flags[kind], *args[place:]]
        return [config, *args, "--cfg-options", *options, *names]

    def call(self, tool: str, argv: list[str]) -> tuple[int, str, str]:
        """Run a tool; give its exit status and what it wrote to stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_tool(self.load_tool(tool).main, argv)
        torch.use_deterministic_algorithms(False)
        print(out.getvalue(), err.getvalue())  # for pytest to show where a test fails
        return status, out.getvalue(), err.getvalue()

    @staticmethod
    def load_tool(tool: str) -> ModuleType:
        """Import ``tools/<tool>.py``."""
        spec = spec_from_file_location(f"tool_{tool}", ROOT / "tools" / f"{tool}.py")
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # where a dataclass looks itself up
        spec.loader.exec_module(module)
        return module

    def train(self, kind: str, *args: object, **kwargs: object) -> str:
        """Train; give what was said."""
        return self._succeeds("train", self.argv(kind, *args, **kwargs))

    def test(self, kind: str, *args: object, **kwargs: object) -> str:
        """Evaluate; give what was said."""
        return self._succeeds("test", self.argv(kind, *args, **kwargs))

    def _succeeds(self, tool: str, argv: list[str]) -> str:
        status, out, err = self.call(tool, argv)
        assert status == 0, err
        return out

    def refused(self, tool: str, argv: list[str]) -> str:
        """Run a tool that must fail; give the one line that says why."""
        status, out, err = self.call(tool, argv)
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (status, len(errors)) == (1, 1), err
        assert "Traceback" not in out + err
        assert err.endswith(errors[0] + "\n")
        return errors[0].removeprefix("error: ")

    @staticmethod
    def load(checkpoint: Path | str) -> dict:
        """Load a checkpoint as the tools do."""
        return read_checkpoint(checkpoint, "cpu")

    def differing_weights(self, first: Path | str, second: Path | str) -> list[str]:
        """Name the parameters and buffers in which two checkpoints of a model differ by a bit."""
        one, two = self.load(first)["state_dict"], self.load(second)["state_dict"]
        assert one.keys() == two.keys()
        return [name for name in one if not torch.equal(one[name], two[name])]

    @staticmethod
    def log(work_dir: Path | str) -> str:
        """Return the whole log of the runs in a work directory."""
        return "".join(file.read_text() for file in sorted(Path(work_dir).glob("*/*.log")))

    @staticmethod
    def logged(work_dir: Path | str) -> list[dict]:
        """Return what training in a work directory logged, line by line."""
        (file,) = Path(work_dir).glob("*/vis_data/scalars.json")
        return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="package")
def cli(shapes, ade):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CONVNEXT_DENSE_DATA", raising=False)
        yield Cli(shapes, ade)


@pytest.fixture(autouse=True)
def _configs_as_they_are(monkeypatch):
    """Let no run lay its config out, which takes most of the time of a short one."""
    # The forks import yapf's function when they call it.
    for name in ("mmengine.config.config.FormatCode", "yapf.yapflib.yapf_api.FormatCode"):
        monkeypatch.setattr(name, lambda text, **_: (text, True), raising=False)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Let relative paths lie in the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="package")
def trained(cli, tmp_path_factory) -> dict[str, Path]:
    """The work directories of a detector's three epochs and a segmenter's six iterations."""
    dirs = {kind: tmp_path_factory.mktemp(f"trained_{kind}") for kind in ("det", "seg")}
    for kind, work_dir in dirs.items():
        flags = ["--weights", "none", "--seed", 0, "--work-dir", work_dir]
        said = cli.train(kind, *flags, options=cli.short_run[kind], workers=True)
        (work_dir / "said.txt").write_text(said)
    return dirs
