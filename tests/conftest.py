"""Fixtures that several rooms share."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from convnext_dense.kernels import onednn

from .configs import load

# More threads only fight each other on maps this small.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def fast_at_any_size(monkeypatch):
    """Take the fast paths for maps so small that plain torch would be faster."""
    monkeypatch.setattr(onednn, "is_worthwhile", lambda x, dtype: True)


@pytest.fixture
def count_fast_products():
    """Call something, and count the fused products of oneDNN that it ran."""

    def count(call, *args) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            call(*args)
        return sum(event.name == "mkldnn::_linear_pointwise" for event in profile.events())

    return count


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside the checkout."""
    root = Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    return root


@pytest.fixture
def randomise():
    """Fill a network with weights under which every parameter matters to every output."""

    def fill(net: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            for name, param in net.named_parameters():
                if param.ndim > 1:
                    param.normal_(std=param[0].numel() ** -0.5)
                elif name.endswith(".weight") or name.endswith(".gamma"):
                    param.uniform_(0.5, 1.5)
                else:
                    param.normal_(std=0.1)
        return net

    return fill


@pytest.fixture
def small_disk():
    """Let no file grow beyond a number of bytes: ``with small_disk(100): ...``.

    Within the block alone, since pytest's own output may go to a file.
    """

    @contextlib.contextmanager
    def limit(size: int):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture
def free_port() -> str:
    """A port of this machine for the processes of a group to meet at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def two_ranks(free_port):
    """Run one command as two ranks; give what each of them said, and fail where one failed."""

    def run(*command: str, **env: str) -> list[str]:
        env |= dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port)
        ranks = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | env | dict(OMP_NUM_THREADS="1", RANK=rank, LOCAL_RANK=rank),
            )
            for rank in "01"
        ]
        try:
            said = [rank.communicate(timeout=120)[0] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
        return said

    return run


@pytest.fixture
def mask_rcnn() -> Config:
    return load("det/mask_rcnn_convnext_t_coco.py")


@pytest.fixture
def cascade() -> Config:
    return load("det/cascade_convnext_t_coco.py")


@pytest.fixture
def upernet() -> Config:
    return load("seg/upernet_convnext_t_ade20k.py")


@pytest.fixture
def coco_set(tmp_path):
    """Write a data set of two images a split, and let a test spoil the file's content."""

    def write(spoil=lambda content: None) -> Path:
        for split in ("train", "val"):
            (tmp_path / split).mkdir()
            for i in (1, 2):
                picture = Image.new("RGB", (64, 48), (60 * i, 99 * (split == "val"), 0))
                picture.save(tmp_path / split / f"{i}.jpg")
            content = dict(
                images=[dict(id=i, file_name=f"{i}.jpg", width=64, height=48) for i in (1, 2)],
                categories=[dict(id=3, name="cat"), dict(id=7, name="dog")],
                annotations=[
                    dict(
                        id=i,
                        image_id=i,
                        category_id=category,
                        bbox=[4, 4, 20, 10],
                        area=200,
                        iscrowd=0,
                        segmentation=[[4, 4, 24, 4, 24, 14, 4, 14]],
                    )
                    for i, category in ((1, 3), (2, 7))
                ],
            )
            spoil(content)
            (tmp_path / "annotations").mkdir(exist_ok=True)
            file = tmp_path / "annotations" / f"instances_{split}.json"
            file.write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.fixture
def label_maps(tmp_path):
    """Write a segmenter's data set of two images a split in ADE20K's layout."""

    def write(labels=(0, 1, 2), image_suffix=".jpg") -> Path:
        for split in ("training", "validation"):
            images, maps = tmp_path / "images" / split, tmp_path / "annotations" / split
            images.mkdir(parents=True)
            maps.mkdir(parents=True)
            for i in (1, 2):
                picture = Image.new("RGB", (64, 48), (60 * i, 99 * (split == "validation"), 0))
                picture.save(images / f"{i}{image_suffix}")
                content = np.resize(np.array(labels, np.uint8), (48, 64))
                Image.fromarray(content).save(maps / f"{i}.png")
        return tmp_path

    return write


@pytest.fixture
def trace(tmp_path):
    """A file that code hidden in a checkpoint would create."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()
