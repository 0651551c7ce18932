"""The real tools on data sets and models small enough to train in seconds."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from PIL import Image

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run
from convnext_dense.data.shapes import CLASSES, make_shapes

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
IN_PROCESS = """
    train_dataloader.num_workers=0 val_dataloader.num_workers=0 test_dataloader.num_workers=0
    val_dataloader.persistent_workers=False test_dataloader.persistent_workers=False
""".split()
SEGMENTS = ("left", "right", "disc")

RUNS = count()


def load_main(tool: str) -> Callable[[list[str]], None]:
    """Give the main function of ``tools/<tool>.py``."""
    spec = spec_from_file_location(f"tool_{tool}", ROOT / "tools" / f"{tool}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """A COCO data set of 6 and 4 images of 96 pixels."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, train=6, val=4, size=96)
    return root


@pytest.fixture(scope="session")
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


class Cli:
    """Calls the tools in this process, as ``python tools/<tool>.py`` would."""

    def __init__(self, capfd, tmp_path: Path, shapes: Path, ade: Path) -> None:
        self.capfd = capfd
        self.tmp_path = tmp_path
        det = f"--data-root {shapes} --classes {','.join(CLASSES)} --img-size 96"
        det += " --ann-train annotations/instances_train.json"
        det += " --ann-val annotations/instances_val.json"
        seg = f"--data-root {ade} --classes {','.join(SEGMENTS)} --img-size 64"
        # What a user gives for data of their own, and what makes the model small.
        self.flags = {"det": det.split(), "seg": seg.split()}
        self.options = {"det": TINY_DETECTOR, "seg": TINY_SEGMENTER}
        self.config = {"det": DETECTOR, "seg": SEGMENTER}

    def argv(self, kind: str, *args: object, options: str = "", workers: bool = False) -> list[str]:
        """Give the arguments that train or test the small model of a kind."""
        options = [*self.options[kind], *([] if workers else IN_PROCESS), *options.split()]
        return [
            str(self.config[kind]),
            *map(str, args),
            *self.flags[kind],
            "--cfg-options",
            *options,
            f"experiment_name=cli{next(RUNS)}",
        ]

    def call(self, tool: str, argv: list[str]) -> tuple[int, str, str]:
        """Run a tool; give its exit status and what it wrote to stdout and stderr."""
        self.capfd.readouterr()
        status = run(load_main(tool), argv)
        out, err = self.capfd.readouterr()
        print(out, err)
        return status, out, err

    def train(self, kind: str, *args: object, **kwargs: object) -> str:
        """Train; give what was said."""
        status, out, err = self.call("train", self.argv(kind, *args, **kwargs))
        assert status == 0, err
        return out + err

    def test(self, kind: str, *args: object, **kwargs: object) -> str:
        """Evaluate; give what was said."""
        status, out, err = self.call("test", self.argv(kind, *args, **kwargs))
        assert status == 0, err
        return out + err

    def refused(self, tool: str, argv: list[str]) -> str:
        """Run a tool that must fail; give its one line without ``error:``."""
        status, _, err = self.call(tool, argv)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (status, len(lines), "Traceback" in err) == (1, 1, False), err
        return lines[0].removeprefix("error: ")


@pytest.fixture
def cli(capfd, tmp_path, shapes, ade, monkeypatch):
    monkeypatch.delenv("CONVNEXT_DENSE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    # mmengine lays a config out anew for every checkpoint, most of the time of runs this short.
    monkeypatch.setattr("mmengine.config.config.FormatCode", lambda text, **_: (text, True))
    yield Cli(capfd, tmp_path, shapes, ade)
    # What mmengine keeps for the whole process.
    torch.use_deterministic_algorithms(False)
    MMLogger._instance_dict.clear()
    Visualizer._instance_dict.clear()
