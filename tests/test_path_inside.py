"""Names from data that would lead out of an output folder."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convnext_dense.files import path_inside, write_whole

LENGTHS = ("é" * 127, "n" * 256)
PLACES = ("..", ".", "", "a", "b.png", "link", "leaf", "loop", "in", "~", "/", "\\", "..\\x", "C:")
PARTS = st.sampled_from([*PLACES, *LENGTHS, "\0", "\n", "\ud800"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(max_size=8)


@pytest.mark.slow
@given(NAMES)
@settings(deadline=None, max_examples=300, derandomize=True)
def test_nothing_is_written_outside(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("root")
    folder, outside = root / "out", root / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "leaf").symlink_to(outside / "new")
    (folder / "in").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    try:
        path = path_inside(folder, name)
    except ValueError:
        return
    with contextlib.suppress(OSError):  # a folder in the place of the file
        write_whole(path, "written")
    assert not list(outside.iterdir())
    assert sorted(path.name for path in root.iterdir()) == ["out", "outside"]


@pytest.mark.parametrize(
    "name, why",
    [
        ("../a.png", "leads out of"),
        ("a/../b.png", "leads out of"),
        ("/etc/a.png", "leads out of"),
        ("..\\a.png", "leads out of"),
        ("C:\\a.png", "leads out of"),
        ("link/a.png", r"leads out of .* through a symbolic link"),
        ("leaf.png", r"leads out of .* through a symbolic link"),
        ("folder", "is not a file"),
        ("fifo", "is not a file"),
        ("", "is not a name of a file"),
        (".", "is not a name of a file"),
        ("a\0.png", "is not a name of a file"),
        ("\ud800.png", "is not valid Unicode"),
        ("n" * 256, "is too long for a file"),
    ],
)
def test_a_name_that_is_refused(tmp_path, name, why):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    (tmp_path / "out" / "leaf.png").symlink_to(tmp_path / "new.png")
    (tmp_path / "out" / "folder").mkdir()
    os.mkfifo(tmp_path / "out" / "fifo")
    with pytest.raises(ValueError, match=why):
        path_inside(tmp_path / "out", name)


def test_a_name_that_is_taken(tmp_path):
    for name in ("a.png", "cam 1/é.png", "a..b/c.png", "~/x", "-rf"):
        assert path_inside(tmp_path, name) == tmp_path / name
