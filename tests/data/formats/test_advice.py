"""What is said to someone who wants to train on another tool's data."""

from __future__ import annotations

import pytest

from convnext_dense.data.formats.advice import conversion_advice, is_readable


@pytest.fixture
def yolo(tree):
    tree.picture("images/a.jpg")
    tree.text("labels/a.txt", "0 0.5 0.5 0.2 0.2\n")
    return tree.root


def test_the_command_is_said_with_the_form_that_is_wanted(yolo):
    command = f"convnext-dense data convert {yolo} {yolo}_converted"
    assert conversion_advice(yolo, "coco") == (
        f"{yolo} is in the format of YOLO: make it ready by {command}"
    )
    assert conversion_advice(yolo, "label-maps").endswith(f"{command} `to='label-maps'`")
    assert not is_readable(yolo)


def test_what_can_be_trained_on_needs_no_advice(tree, yolo):
    tree.json("annotations/a.json", dict(images=[], categories=[], annotations=[]))
    assert conversion_advice(yolo, "coco") is None and is_readable(yolo)


def test_nothing_is_said_of_a_folder_that_is_not_understood(tmp_path):
    assert conversion_advice(tmp_path, "coco") is None and is_readable(tmp_path)
    assert conversion_advice(tmp_path / "gone", "coco") is None
