"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convnext_dense import files
from convnext_dense.files import (
    WriteError,
    append_line,
    clear_parts,
    ensure_folder,
    ensure_writable,
    is_part,
    replacing,
    replacing_folder,
    write_whole,
)

# Begins to write a file and waits.
WRITER = """
import sys, time
from convnext_dense.files import replacing
with replacing(sys.argv[1]) as part:
    part.write_text("half")
    print(part, flush=True)
    time.sleep(60)
"""


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def writing(tmp_path):
    """A process that is writing ``a.json``, and the part that it writes to."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


@pytest.fixture
def first_write(monkeypatch):
    """Let this process have written to no folder yet."""
    monkeypatch.setattr(files, "_cleared", set())


def test_the_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "new folder" / "a.json"
    for content in ("first", "second"):
        with replacing(path) as part:
            part.write_text(content)
            assert part.suffix == ".json" and part.parent == path.parent
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_earlier_file_alone(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("earlier")
    with pytest.raises(error, match=r"^stopped$"), replacing(path) as part:
        part.write_text("half")
        raise error("stopped")
    assert path.read_text() == "earlier"
    assert names(tmp_path) == ["a.json"]


STEPS = ["os.open", "os.fsync", "os.chmod", "os.rename", "os.replace", "os.mkdir"]


@pytest.mark.slow
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    step=st.sampled_from([*STEPS, "pathlib.Path.write_bytes"]),
    number=st.integers(0, 3),
    error=st.sampled_from([OSError(28, "No space left on device"), KeyboardInterrupt()]),
    earlier=st.booleans(),
)
def test_a_failure_at_any_step_leaves_one_whole_file(
    tmp_path_factory, step, number, error, earlier
):
    folder = tmp_path_factory.mktemp("folder")
    path = folder / "a.json"
    if earlier:
        path.write_bytes(b"earlier")
    whole = [b"earlier"] if earlier else [None]
    with pytest.MonkeyPatch.context() as patch:
        owner, _, name = step.rpartition(".")
        function = getattr({"os": os, "pathlib.Path": Path}[owner], name)
        calls = iter(range(number))

        def fail(*args, **kwargs):
            if next(calls, None) is None:
                raise error
            return function(*args, **kwargs)

        patch.setattr(step, fail)
        try:
            write_whole(path, b"new")
            whole = [b"new"]
        except (WriteError, KeyboardInterrupt):
            whole.append(b"new")
    assert (path.read_bytes() if path.exists() else None) in whole
    assert names(folder) in ([], ["a.json"])


@pytest.mark.slow
def test_threads_that_write_one_path(tmp_path):
    path = tmp_path / "a.json"
    contents = [str(n) * 5000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_whole(path, content), contents * 25))
    assert path.read_text() in contents
    assert names(tmp_path) == ["a.json"]


def test_what_stands_there_keeps_its_mode_and_new_files_follow_the_umask(tmp_path):
    script, new = tmp_path / "script", tmp_path / "new"
    script.touch()
    script.chmod(0o750)
    before = os.umask(0o026)
    try:
        write_whole(script, "content")
        write_whole(new, "content")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (script, new)]
    assert modes == [0o750, 0o640]


@pytest.mark.parametrize("dangling", [True, False])
def test_the_file_behind_a_link_is_written(tmp_path, dangling):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "a.json", tmp_path / "link"
    link.symlink_to("disk/a.json")
    if not dangling:
        target.touch()
    write_whole(link, "content")
    assert link.is_symlink() and target.read_text() == "content"


def test_a_device_stays_one(tmp_path):
    # A link, so that a failure of this test does not replace the machine's own.
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    write_whole(null, "content")
    assert stat.S_ISCHR(null.stat().st_mode)
    with pytest.raises(WriteError, match=r"^could not write /dev/full: No space left on device; "):
        write_whole("/dev/full", "content")


def test_names_of_any_length(tmp_path):
    for name in ("n" * 255, "n." + "s" * 253, "名" * 85):
        write_whole(tmp_path / name, "content")
    assert len(names(tmp_path)) == 3
    with pytest.raises(WriteError, match=f"could not write .*/{'n' * 256}: File name too long; "):
        write_whole(tmp_path / ("n" * 256), "content")


def test_the_message_names_file_reason_and_way_on(tmp_path):
    path = tmp_path / "a.json"
    expected = r"^could not write .*/a\.json: No space left on device; make room$"
    with pytest.raises(WriteError, match=expected) as caught, replacing(path, "make room"):
        raise OSError(28, "No space left on device")
    assert caught.value.errno == 28
    assert names(tmp_path) == []


def test_what_stands_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in ("file/a.json", "file/deeper/a.json"):
        expected = rf"could not write .*/{path}: {tmp_path}/file is a file, not a folder; what was"
        with pytest.raises(WriteError, match=expected):
            write_whole(tmp_path / path, "content")
    with pytest.raises(WriteError, match=r"could not write .*/folder: it is a folder; what was"):
        write_whole(tmp_path / "folder", "content")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(WriteError, match=r"could not write .*/loop: Too many levels of symbolic"):
        write_whole(tmp_path / "loop", "content")


def test_a_folder_that_vanishes(tmp_path):
    path = tmp_path / "run" / "a.json"
    with (
        pytest.raises(WriteError, match=rf"a\.json: the folder {tmp_path}/run is gone; "),
        replacing(path) as part,
    ):
        part.unlink()
        path.parent.rmdir()
        part.write_text("content")


@pytest.mark.slow
def test_the_part_of_a_killed_process_goes_at_the_next_write(writing, tmp_path, first_write):
    process, part = writing
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path) == [part.name]
    write_whole(tmp_path / "b.json", "content")
    assert names(tmp_path) == ["b.json"]


@pytest.mark.slow
def test_the_part_of_a_living_process_stays(writing, tmp_path, first_write):
    _, part = writing
    write_whole(tmp_path / "b.json", "content")
    assert clear_parts(tmp_path) == []
    assert sorted(names(tmp_path)) == sorted([part.name, "b.json"])


def test_the_part_of_another_host_goes_when_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_HOST", "0" * 8)
    with pytest.raises(WriteError), replacing(tmp_path / "a.json") as part:
        raise OSError("its name is all that is needed")
    monkeypatch.undo()
    for age, stays in ((files.OLD - 60, True), (files.OLD + 60, False)):
        part.touch()
        modified = part.stat().st_mtime - age
        os.utime(part, (modified, modified))
        assert clear_parts(tmp_path) == ([] if stays else [part])
        assert part.exists() == stays


def test_a_part_is_told_from_other_files(tmp_path):
    with replacing(tmp_path / "a.png") as part:
        assert is_part(part) and part.suffix == ".png"
    assert not any(map(is_part, (tmp_path / "a.png", Path(".a.part.png"), Path(".hidden"))))


def test_other_hidden_files_stay(tmp_path):
    for name in (".part", ".a.part.json", ".gitignore", "x.part"):
        (tmp_path / name).touch()
    assert clear_parts(tmp_path) == []
    assert clear_parts(tmp_path / "no folder") == []


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, small_disk):
    path = tmp_path / "log"
    append_line(path, "first")
    append_line(path, "second")
    message = r"^could not write .*/log: File too large; "
    with small_disk(20), pytest.raises(WriteError, match=message):
        append_line(path, "a third that is too long")
    assert path.read_text() == "first\nsecond\n"


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deeper" / "set"
    with (
        pytest.raises(
            WriteError, match=r"could not write .*/set: No space left.*; nothing is left"
        ),
        replacing_folder(path) as part,
    ):
        (part / "a").mkdir()
        raise OSError(28, "No space left on device")
    assert names(path.parent) == []
    with replacing_folder(path) as part:
        (part / "a").touch()
        assert names(path.parent) == [part.name]
        clear_parts(path.parent)
    assert names(path) == ["a"]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.parent.stat().st_mode)


def test_what_could_not_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("earlier")
    ensure_writable(tmp_path / "file")
    ensure_writable(tmp_path / "new" / "a.json")
    ensure_folder(tmp_path / "other" / "folder")
    assert names(tmp_path / "new") == names(tmp_path / "other" / "folder") == []
    for refuse, path in (
        (ensure_writable, tmp_path / "file" / "a.json"),
        (ensure_writable, tmp_path / "new"),
        (ensure_folder, tmp_path / "file"),
        (ensure_folder, tmp_path / "file" / "folder"),
    ):
        with pytest.raises(WriteError, match=f"could not write {path}: .* is a f"):
            refuse(path)
    assert (tmp_path / "file").read_text() == "earlier"
