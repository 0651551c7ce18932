"""What mmengine writes in a run beside checkpoints."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
import weakref
from itertools import count

import mmcv
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio import io as mmengine_io
from mmengine.logging import MMLogger

from convnext_dense.config.options import RunOptions
from convnext_dense.config.runner import config_of_runner
from convnext_dense.config.state import Plan
from convnext_dense.files import WriteError
from convnext_dense.training.run_files import WholeLocalVisBackend, end_with_log, write_whole_files

NAMES = count()
PICTURE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


@pytest.fixture
def whole_files():
    """What a run sets up for its process, and takes back here."""
    write_whole_files()
    yield
    register_backend("local", LocalBackend, force=True, prefixes="")
    mmengine_io.backend_instances.clear()


WRITERS = {
    "predictions.pkl": lambda path: mmengine.dump(list(range(1000)), str(path)),
    "results.json": lambda path: mmengine.dump(list(range(1000)), str(path)),
    "drawing.jpg": lambda path: mmcv.imwrite(PICTURE, str(path)),
    "name_3.png": lambda path: WholeLocalVisBackend(str(path.parent), img_save_dir=".").add_image(
        "name", PICTURE, 3
    ),
    "config.py": lambda path: WholeLocalVisBackend(str(path.parent)).add_config(
        Config(dict(key="value" * 100))
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_full_disk_does_not_take_leaves_the_earlier_file(
    tmp_path, whole_files, small_disk, name
):
    path = tmp_path / name
    path.write_text("earlier")
    message = rf"^could not write .*{name}: File too large; what was"
    with small_disk(100), pytest.raises(WriteError, match=message):
        WRITERS[name](path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_the_place_of_the_folder(tmp_path, whole_files, name):
    (tmp_path / "folder").touch()
    with pytest.raises(OSError, match=rf"{tmp_path}/folder"):
        WRITERS[name](tmp_path / "folder" / name)


def test_what_is_drawn_is_read_again(tmp_path, whole_files):
    WRITERS["name_3.png"](tmp_path / "name_3.png")
    assert np.array_equal(mmcv.imread(tmp_path / "name_3.png", channel_order="rgb"), PICTURE)


def test_figures_are_logged_line_by_line(tmp_path):
    backend = WholeLocalVisBackend(str(tmp_path))
    backend.add_scalar("lr", torch.tensor(0.5), step=1)
    backend.add_scalars(dict(loss=np.float64(2.0), step=2))
    lines = (tmp_path / "scalars.json").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [dict(lr=0.5, step=1), dict(loss=2.0, step=2)]
    (tmp_path / "scalars.json").unlink()
    tmp_path.rmdir()
    with pytest.raises(WriteError, match=rf"scalars\.json: the folder {tmp_path} is gone"):
        backend.add_scalar("lr", 0.5)


@pytest.mark.parametrize(
    ("given", "types"),
    [
        ({}, ["WholeLocalVisBackend"]),
        (
            dict(type="V", vis_backends=[dict(type="mmdet.LocalVisBackend"), dict(type="Other")]),
            ["WholeLocalVisBackend", "Other"],
        ),
        (dict(type="V"), []),
    ],
)
def test_every_visualizer_of_a_config_writes_whole_files(given, types):
    plan = Plan(RunOptions("a.py"), Config(dict(model=dict(type="M"), visualizer=given)))
    cfg = config_of_runner(plan)
    assert [backend["type"] for backend in cfg.visualizer.get("vis_backends", [])] == types


@pytest.fixture
def logger(monkeypatch):
    """A logger whose log lies on a full disk."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    logger = MMLogger(f"full{next(NAMES)}", log_file="/dev/full", file_mode="a")
    end_with_log(logger)
    return logger


def test_a_run_ends_where_its_log_is_not_written(logger, capfd):
    expected = r"^could not write /dev/full: No space left on device; "
    with pytest.raises(WriteError, match=expected):
        logger.info("first")
    logger.info("what is said while the run ends")
    # As at the end of Python, for the handlers of this logger alone.
    logging.shutdown([weakref.ref(handler) for handler in logger.handlers])
    assert capfd.readouterr().err == ""


def test_a_direct_write_to_the_log_is_named_too(logger):
    (file,) = (h.stream for h in logger.handlers if isinstance(h, logging.FileHandler))
    with pytest.raises(WriteError, match=r"^could not write /dev/full: No space left on device; "):
        print("as BaseModule does", file=file, flush=True)


def test_a_run_goes_on_without_the_screen(tmp_path, capfd):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    path = tmp_path / "a.log"
    logger = MMLogger(f"screen{next(NAMES)}", log_file=str(path), file_mode="a")
    end_with_log(logger)
    logger.handlers[0].stream = Closed()
    logger.info("first")
    logger.info("second")
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["first", "second"]
    assert capfd.readouterr().err == ""
