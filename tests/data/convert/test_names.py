"""Names of pictures in the result: inside of it, and no two alike."""

from __future__ import annotations

import pytest

from convnext_dense.data.convert.names import Names, safe
from convnext_dense.files import path_inside


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.jpg", "a.jpg"),
        ("b/c/a.jpg", "b/c/a.jpg"),
        ("/etc/passwd", "etc/passwd"),
        ("../../a.jpg", "a.jpg"),
        ("b/../../a.jpg", "b/a.jpg"),
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("..\\..\\a.jpg", "a.jpg"),
        ("a\x00\n\x1b[31m.jpg", "a___[31m.jpg"),
        ("what?*.jpg", "what__.jpg"),
        ("häuser/straße.jpg", "häuser/straße.jpg"),
        ("\udcff.jpg", "_.jpg"),
        ("..", "picture"),
        ("", "picture"),
    ],
)
def test_names_stay_inside(tmp_path, name, made):
    assert safe(name) == made
    assert path_inside(tmp_path, made).is_relative_to(tmp_path)


def test_long_names_keep_their_ending(tmp_path):
    names = Names(by_stem=False)
    one, other = names.take("ä" * 200 + "1.jpeg"), names.take("ä" * 200 + "2.jpeg")
    assert one != other
    for name in (one, other):
        assert name.endswith(".jpeg") and path_inside(tmp_path, name)


def test_no_two_are_alike():
    names = Names(by_stem=False)
    taken = [names.take(name) for name in ("a.jpg", "A.jpg", "a.jpg", "a-2.jpg", "a.png")]
    assert taken == ["a.jpg", "A-2.jpg", "a-3.jpg", "a-2-2.jpg", "a.png"]


def test_label_maps_are_named_by_the_stem():
    names = Names(by_stem=True)
    assert [names.take(name) for name in ("a.jpg", "a.png", "b.jpg")] == [
        "a.jpg",
        "a-2.png",
        "b.jpg",
    ]
