"""Classes: merged, renamed, dropped, and names that are probably one."""

from __future__ import annotations

import pytest

from convnext_dense.data.convert.classes import Classes


def test_sources_are_merged_in_their_order():
    classes = Classes([["cat", "dog"], ["dog", "cow"]])
    assert classes.names == ("cat", "dog", "cow")
    assert [classes.index(name) for name in ("cow", "dog", "cat")] == [2, 1, 0]
    assert classes.notes == []


def test_a_name_that_exists_merges():
    classes = Classes([["car", "bus", "van"]], {"van": "car", "bus": "coach"})
    assert classes.names == ("car", "coach")
    assert [classes.index(name) for name in ("car", "bus", "van")] == [0, 1, 0]


def test_names_can_be_exchanged():
    classes = Classes([["left", "right"]], {"left": "right", "right": "left"})
    assert classes.names == ("right", "left")


@pytest.mark.parametrize("drop", ["bus", "coach"])
def test_dropped_by_the_old_name_or_the_new_one(drop):
    classes = Classes([["car", "bus"]], {"bus": "coach"}, [drop])
    assert classes.names == ("car",)
    assert classes.index("bus") is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (dict(rename={"cra": "x"}), "`rename`: there is no class 'cra'; the classes are car, bus"),
        (dict(drop=["bsu"]), "`drop`: there is no class 'bsu'; the classes are bus, car"),
        (dict(drop=["car", "bus"]), "`drop` leaves no class of bus, car"),
    ],
)
def test_wrong_names_list_the_right_ones(more, said):
    with pytest.raises(ValueError) as caught:
        Classes([["bus", "car"]], **more)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("car", "Car", "upper and lower case"),
        ("traffic light", "traffic_light", "blanks, dashes and underscores"),
        ("car", "cars", "a plural"),
        ("Traffic-Light", "traffic light", "spelling"),
        ("pedestrian", "pedestrain", "a few letters"),
    ],
)
def test_two_sources_that_call_one_class_differently(one, other, differs):
    notes = Classes([[one, "tree"], ["tree", other]]).notes
    assert notes == [
        f"classes {one!r} and {other!r} differ only in {differs}: `rename={{{other!r}: {one!r}}}` "
        "makes them one"
    ]
    assert Classes([[one], [other]], {other: one}).notes == []


def test_classes_of_one_source_may_be_spelt_alike():
    assert Classes([["class_1", "class_2", "screw M4", "screw M5"]]).notes == []
    # Both sources know both.
    assert Classes([["pedestrian", "pedestrians2"], ["pedestrian", "pedestrians2"]]).notes == []


def test_a_name_that_an_argument_cannot_state():
    classes = Classes([["a, b", " ", "c\n"]])
    assert classes.names == ("a b", "unnamed", "c")
    assert "class 'a, b' is called 'a b'" in classes.notes[0]
