"""Which format a folder has, and what is said where none or several fit."""

from __future__ import annotations

import weakref

import pytest

from convnext_dense.data.formats.detect import FORMATS, open_source
from convnext_dense.data.formats.listing import Listing


def test_a_folder_that_no_format_fits(tree):
    tree.picture("a.jpg")
    tree.text("a.md", "# pictures")
    with pytest.raises(ValueError) as refused:
        open_source(tree.root)
    message = str(refused.value)
    assert "\n" not in message and str(tree.root) in message
    for format in FORMATS.values():
        assert format.looked_for in message


def test_a_folder_that_several_formats_fit(tree):
    tree.picture("images/a.jpg")
    tree.text("labels/a.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.json("all.json", dict(images=[], categories=[], annotations=[]))
    with pytest.raises(ValueError, match=r"yolo \(.*a\.txt\), coco \(.*all\.json\)"):
        open_source(tree.root)
    assert open_source(tree.root, "yolo").format == "yolo"
    assert open_source(tree.root / "all.json").format == "coco"


def test_notes_of_label_studio_and_a_file_beside_names(tree):
    tree.picture("images/a.jpg")
    tree.text("labels/a.txt", "0 0.5 0.5 0.2 0.2\n")
    tree.text("classes.txt", "cat\n")
    tree.text("obj.names", "cat\n")
    tree.json("notes.json", dict(categories=[dict(id=0, name="cat")], info=dict(year=2026)))
    assert open_source(tree.root).format == "yolo"
    tree.json("all.json", dict(images=[], categories=[], annotations=[]))
    assert open_source(tree.root / "all.json").format == "coco"


def test_names_that_are_wrong(tree):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_source(tree.root / "gone")
    tree.picture("a.jpg")
    with pytest.raises(ValueError, match="`format='yolov8'` is not one of yolo, "):
        open_source(tree.root, "yolov8")
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        open_source(tree.root, images=tree.root / "gone")


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_folder_in_any_format_is_refused_in_one_line(tree, format):
    tree.root.mkdir()
    with pytest.raises(ValueError) as refused:
        source = open_source(tree.root, format)
        if not list(source.pictures()):
            raise ValueError(f"{source.root} is empty")
    assert "\n" not in str(refused.value)


def test_links_are_followed_but_not_in_circles(tree):
    tree.picture("a/p.jpg")
    (tree.root / "a" / "up").symlink_to(tree.root)
    (tree.root / "a" / "self").symlink_to(tree.root / "a")
    (tree.root / "b").symlink_to(tree.root / "a")
    (tree.root / "a" / "broken.jpg").symlink_to(tree.root / "gone")
    names = Listing(tree.root).pictures
    assert "a/p.jpg" in names and "b/p.jpg" in names and len(names) <= 4


def test_hidden_files_are_no_pictures(tree):
    tree.picture("a/p.jpg")
    tree.text("a/._p.jpg", "of macOS")
    tree.text("__MACOSX/a/p.jpg", "of macOS")
    tree.text(".git/p.jpg", "")
    assert Listing(tree.root).pictures == ["a/p.jpg"]


@pytest.mark.parametrize(
    ("written", "beside", "found"),
    [
        ("a/p.jpg", "", "a/p.jpg"),
        ("b/p.jpg", "a/x.json", "b/p.jpg"),
        ("p.jpg", "b/x.json", "b/p.jpg"),
        ("../b/p.jpg", "a/x.json", "b/p.jpg"),
        ("D:\\set\\c\\a\\p.jpg", "b/x.json", "c/a/p.jpg"),
        ("/home/c/a/p.jpg", "", "c/a/p.jpg"),
        ("A\\P.JPG", "", "a/p.jpg"),
        ("q.jpg", "a/x.json", "b/q.jpg"),
    ],
)
def test_the_picture_whose_path_ends_most_like_the_written_one(tree, written, beside, found):
    for name in ("a/p.jpg", "b/p.jpg", "c/a/p.jpg", "b/q.jpg"):
        tree.picture(name)
    assert Listing(tree.root).find_picture(written, beside) == found


@pytest.mark.parametrize("written", ["p.jpg", "", "..", "/", "C:\\", "z.jpg", "p.jpg/"])
def test_pictures_that_cannot_be_told_apart_or_are_not_there(tree, written):
    tree.picture("a/p.jpg")
    tree.picture("b/p.jpg")
    with pytest.raises(LookupError, match=r"not in the folder|one of several of that name"):
        Listing(tree.root).find_picture(written)


@pytest.mark.slow
def test_only_a_few_pictures_are_in_memory_at_once(tree):
    tree.picture("images/0000.jpg")
    for index in range(200):
        if index:
            (tree.root / f"images/{index:04d}.jpg").hardlink_to(tree.root / "images/0000.jpg")
        tree.text(f"labels/{index:04d}.txt", "0 0.1 0.1 0.9 0.1 0.5 0.9\n" * 3)
    tree.text("data.yaml", "train: images\nnames: [a]\n")
    alive = []
    for picture in open_source(tree.root).pictures():
        alive.append(weakref.ref(picture.objects[0]))
        assert sum(ref() is not None for ref in alive) < 3
    assert len(alive) == 200
