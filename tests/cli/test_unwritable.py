"""Places that take no file, or no second run: one line that names it, before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convnext_dense.training.work_dir_lock import lock_work_dir

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path):
    """A file where a folder is needed."""
    path = tmp_path / "file"
    path.write_text("earlier")
    yield path
    assert path.read_text() == "earlier"


@pytest.mark.parametrize("flag", ["--work-dir", "--out", "--show-dir"])
@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_test_is_refused(cli, trained, file, flag, below):
    place = file / below if below else file
    argv = cli.argv("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w", flag, place)
    assert cli.refused("test", argv) == (
        f"could not write {place}: {file} is a file, not a folder; what was written before is whole"
    )


def test_a_training_is_refused(cli, file):
    argv = cli.argv("seg", "--weights", "none", "--work-dir", file)
    assert cli.refused("train", argv).startswith(f"could not write {file}: {file} is a file, not a")


def test_a_result_for_a_full_disk_leaves_the_earlier_one(cli, trained, tmp_path, monkeypatch):
    def fill(path, content):
        raise OSError(28, "No space left on device")

    out = tmp_path / "predictions.pkl"
    out.write_text("earlier")
    monkeypatch.setattr("pathlib.Path.write_bytes", fill)
    argv = cli.argv("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w", "--out", out)
    expected = f"could not write {out}: No space left on device; what was written before is whole"
    assert cli.refused("test", argv) == expected
    assert out.read_text() == "earlier"


def test_a_work_directory_in_use_takes_no_second_training_and_takes_a_test(cli, trained):
    with lock_work_dir("w"):
        said = cli.refused("train", cli.argv("seg", "--weights", "none", "--work-dir", "w"))
        assert said.startswith(f"w is in use by process {os.getpid()} on ")
        cli.test("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w")
    assert Path("w", "metrics.json").is_file()
