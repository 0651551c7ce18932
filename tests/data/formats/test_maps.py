"""Label maps in mmseg's layout."""

from __future__ import annotations

import pytest

from convnext_dense.data.formats.detect import open_source
from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.maps import recognise


@pytest.mark.parametrize("maps", ["annotations", "ann_dir", "labels", "masks"])
@pytest.mark.parametrize("palette", [False, True])
def test_pairs_splits_and_names(tree, maps, palette):
    images = "img_dir" if maps == "ann_dir" else "images"
    for split in ("training", "validation"):
        tree.picture(f"{images}/{split}/p.JPG", (4, 2))
        tree.label_map(f"{maps}/{split}/p.png", [[0, 1, 2, 255]] * 2, palette)
    tree.picture(f"{images}/training/q.jpg", (4, 2))
    tree.label_map(f"{maps}/training/r.png", [[0, 1, 2, 255]] * 2)
    tree.text("classes.txt", "sky\r\nroad\r\n\r\n")
    read = tree.read()
    assert read.format == "label-maps" and read.classes == ("sky", "road")
    assert read.splits() == {
        f"{images}/training/p.JPG": "train",
        f"{images}/validation/p.JPG": "val",
    }
    for name, picture in read.pictures.items():
        folder = name.split("/")[1]
        assert picture.label_map == tree.root / maps / folder / "p.png"
    assert {(loss.what, loss.error) for loss in read.losses} == {
        ("pictures without maps are left out", False),
        ("maps without pictures are left out", True),
    }


def test_what_a_label_means(tree):
    tree.picture("images/p.jpg", (4, 2))
    tree.label_map("annotations/p.png", [[0, 1, 2, 255]] * 2)
    with pytest.raises(ValueError, match="give `classes`"):
        open_source(tree.root).classes  # noqa: B018
    assert open_source(tree.root, classes=["sky", "road"]).pixels == {1: "sky", 2: "road"}
    given = open_source(tree.root, classes=["Background", "road"])
    assert given.pixels == {0: "Background", 1: "road"}


def test_colours_are_not_label_maps(tree):
    tree.picture("images/p.jpg", (4, 2))
    tree.picture("annotations/p.png", (4, 2))
    assert recognise(Listing(tree.root)) is None
