"""What is added to an earlier result is there as a whole, whenever the process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_dense.data.convert.earlier import add_to_earlier, find_earlier, finish_adding

EARLIER = {
    "train/a.png": "a",
    "annotations/instances_train.json": "a",
    "annotations/instances_val.json": "",
    "conversion.json": "",
}
ADDED = {
    "train/a.png": "a link to the earlier one",
    "train/b.png": "b",
    "val/patient 1/c.png": "c",
    "annotations/instances_train.json": "a, b",
    "annotations/instances_val.json": "c",
    "conversion.json": "two classes",
}


class Killed(BaseException):
    """Stands for the end of a process."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize("steps", range(8))
def test_a_death_while_files_are_moved_loses_nothing(tmp_path, monkeypatch, steps):
    out, part = write(tmp_path / "out", EARLIER), write(tmp_path / "out/.part", ADDED)
    replace, done = Path.replace, 0

    def until_killed(path, target):
        nonlocal done
        if done == steps:
            raise Killed
        done += 1
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until_killed)
        try:
            add_to_earlier(part, out)
        except Killed:
            assert finished(out) is (steps == 0)
    # What was whole is moved to the end by the next conversion; what was not made is not there.
    assert finish_adding(out) is (0 < steps < 6)
    assert not finish_adding(out)
    whole = {**ADDED, "train/a.png": "a"}
    got = {name: text for name, text in read(out).items() if not name.startswith(".part")}
    assert got == (whole if steps else EARLIER)


def finished(out: Path) -> bool:
    return not (out / ".added").exists()


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    out = write(tmp_path / "out", {".added/mine.txt": "mine"})
    with pytest.raises(FileExistsError, match="not a converted data set"):
        find_earlier(out)
    assert read(out) == {".added/mine.txt": "mine"}
