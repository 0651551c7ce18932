"""Files, folders, globs and URLs, and what their outputs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_dense.files import replacing
from convnext_dense.inference.inputs import find_pictures


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "in/b.jpg",
        "in/a.PNG",
        "in/deep/a.png",
        "in/notes.txt",
        "other/a.jpg",
        "x[1].bmp",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


def test_a_folder_gives_the_pictures_below_it(tree):
    assert find_pictures(["in"]) == {
        "a": "in/a.PNG",
        "b": "in/b.jpg",
        "deep/a": "in/deep/a.png",
    }


def test_a_picture_that_is_being_written_is_none(tree):
    with replacing("in/c.png") as part:
        part.touch()
        assert sorted(find_pictures(["in"])) == ["a", "b", "deep/a"]


def test_files_globs_and_urls(tree):
    url = "https://example.org/photos/my%20cat.jpg?size=2"
    found = find_pictures(["x[1].bmp", "in/*", url, "in/**/a.png"])
    assert found == {
        "x[1]": "x[1].bmp",
        "a": "in/a.PNG",
        "b": "in/b.jpg",
        "my cat": url,
        "a-2": "in/deep/a.png",
    }


@pytest.mark.parametrize(
    "path, name",
    [
        ("a/..", "picture"),
        ("a/%2e%2e", "picture"),
        ("a/..%2f..%2fb.jpg", "b"),
        ("%00.jpg", ".jpg"),
        ("a%00b.jpg", "ab"),
        ("", "picture"),
        ("...", "..."),
    ],
)
def test_no_url_names_a_file_elsewhere(path, name):
    assert list(find_pictures([f"http://host/{path}"])) == [name]


def test_outputs_of_one_name_do_not_meet(tree):
    found = find_pictures(["in/a.PNG", "other/a.jpg", "in/a.PNG"])
    assert list(found) == ["a", "a-2", "a-3"]


def test_a_file_is_taken_whatever_its_ending(tree):
    assert find_pictures(["in/notes.txt"]) == {"notes": "in/notes.txt"}


def test_earlier_outputs_are_no_input(tree):
    assert list(find_pictures(["in"], leave_out=[Path("in/deep")])) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.jpg", "there is no picture or folder nowhere.jpg"),
        ("other/*.png", r"no picture matches other/\*.png"),
        ("empty", "there is no picture in the folder empty: they end in .jpg, "),
    ],
)
def test_refuses_what_gives_no_picture(tree, given, said):
    Path("empty").mkdir()
    with pytest.raises(FileNotFoundError, match=said):
        find_pictures(["in", given])


@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_input_is_not_the_current_folder(tree, given):
    with pytest.raises(ValueError, match=f"the input '{given}' is empty"):
        find_pictures(["in", given])
