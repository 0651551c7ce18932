"""Recipes are found by their names, wherever the package lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnext_dense.zoo import recipes as module
from convnext_dense.zoo.recipes import find_recipe, recipe_file, recipes

WHOLE = "seg/upernet_convnext_t_ade20k"


@pytest.mark.parametrize("end", ["", ".py"])
@pytest.mark.parametrize("start", ["", "seg/", "configs/seg/", "convnext_dense::seg/"])
def test_a_recipe_is_found_by_each_of_its_names(start, end):
    name = f"{start}upernet_convnext_t_ade20k{end}"
    assert find_recipe(name) == WHOLE
    assert recipe_file(name).parts[-3:] == ("configs", "seg", "upernet_convnext_t_ade20k.py")


@pytest.mark.parametrize(
    "name",
    [
        *("", "my_config", "./upernet_convnext_t_ade20k.py", "det/upernet_convnext_t_ade20k"),
        *("mmdet::seg/upernet_convnext_t_ade20k", "upernet_convnext_t_ade20k.json", "../seg", "*"),
        *("adamw", "_base_/schedules/adamw", "configs/_base_/schedules/adamw.py"),  # parts
    ],
)
def test_what_is_no_recipe(name):
    assert find_recipe(name) is None


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(
        FileNotFoundError,
        match=r"^there is no recipe 'upernet_convnxt_t_ade20k'; the nearest are "
        r"upernet_convnext_t_ade20k, \w+, \w+, and `recipes` lists all$",
    ):
        recipe_file("upernet_convnxt_t_ade20k")


def test_names_without_folders_are_unambiguous():
    stems = [Path(name).name for name in recipes()]
    assert len(stems) == len({*stems}) > 13


def test_a_name_of_two_recipes_is_refused(tmp_path, monkeypatch):
    for folder in ("det", "seg"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").touch()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert find_recipe("seg/twin") == "seg/twin"
    with pytest.raises(ValueError, match=r"^recipe 'twin' is one of det/twin, seg/twin: give it"):
        find_recipe("twin")
