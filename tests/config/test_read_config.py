"""A config that cannot be read is named, with the line where there is one."""

from __future__ import annotations

import pytest

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.config.read_config import read_config

BROKEN = {
    # name: (content, complaint)
    "syntax.py": ("x = 1\nmodel = dict(\n", "{file}, line 2: '(' was never closed"),
    "raises.py": ("x = 1\nmodel = dict(a=1 / 0)\n", "{file}, line 2: ZeroDivisionError: division"),
    "name.py": ("model = dict(a=nothing)\n", "{file}, line 1: NameError: name 'nothing'"),
    "leaves.py": ("raise SystemExit(3)\n", "{file}, line 1: SystemExit: 3"),
    "no_base.py": ("_base_ = 'gone.py'\n", "{file}: there is no {folder}/gone.py, which its _base"),
    "of_itself.py": ("_base_ = 'of_itself.py'\n", "inherits from itself by _base_: {file} -> "),
    "base_5.py": ("_base_ = 5\n", "{file}: _base_ is 5, neither a path nor a list"),
    "empty.py": ("\n", "{file} is empty"),
    "binary.py": (b"\xff\xfe\x00\x01", "{file} is not a text file in UTF-8"),
    "null.py": ("a\0b", "{file}: "),
    "text.txt": ("model", "{file} ends in none of .py, .json"),
    "cut.json": (
        '{"model": ',
        "{file} could not be read: JSONDecodeError: Expecting value",
    ),
    "list.json": ("[1]", "{file} is not a dict but a list"),
    "cut.yaml": ("a: b: c", "{file} could not be read: ValueError: the file is not YAML"),
    "imports.py": (
        "custom_imports = dict(imports=['no_such_module'])\n",
        "{file}, custom_imports: Failed to import no_such_module",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_named(tmp_path, name):
    content, complaint = BROKEN[name]
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((ValueError, OSError, RuntimeError, ImportError)) as refused:
        read_config(file)
    assert complaint.format(file=file, folder=tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["syntax.py", "raises.py", "empty.py", "binary.py", "list.json"])
def test_a_base_is_named_and_not_its_heir(tmp_path, name):
    content, complaint = BROKEN[name]
    base, heir = tmp_path / name, tmp_path / "heir.py"
    base.write_bytes(content if isinstance(content, bytes) else content.encode())
    heir.write_text(f"_base_ = '{name}'\n")
    with pytest.raises((ValueError, RuntimeError)) as refused:
        read_config(heir)
    assert complaint.format(file=base) in str(refused.value)


def test_a_circle_of_two(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("_base_ = 'two.py'\n")
    two.write_text("_base_ = ['one.py']\n")
    with pytest.raises(ValueError, match=f"{one} -> {two} -> {one}"):
        read_config(one)


def test_a_folder(tmp_path):
    (tmp_path / "config.py").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        read_config(tmp_path / "config.py")


def test_json_and_yaml_are_read(tmp_path):
    (tmp_path / "base.yaml").write_text("a: 1\n")
    (tmp_path / "heir.json").write_text('{"_base_": "base.yaml", "b": 2}')
    assert read_config(tmp_path / "heir.json").to_dict() == dict(a=1, b=2)
