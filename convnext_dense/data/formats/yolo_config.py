"""Read what says which classes and splits a YOLO data set has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from convnext_dense.data.formats.listing import Listing
from convnext_dense.data.formats.splits import split_of
from convnext_dense.data.formats.text_files import read_text

_YAML = (".yaml", ".yml")
_USUAL = ("data", "dataset")
# Lists of names alone: labelImg's and Roboflow's, and Darknet's `*.names`.
_NAME_LISTS = ("classes.txt", "_darknet.labels")
# Bytes of a yaml file: ImageNet's has 40 kB.
_LARGEST = 5_000_000


@dataclass(frozen=True)
class YoloConfig:
    """What a configuration file states.

    Attributes:
        file: The file.
        names: Names of the classes by their ids; empty if it states none.
        splits: What it says of each split: folders of pictures or lists of their paths.
        path: The folder that it states for those, or "".
        keypoints: (number, dimensions) of a pose's points, or None.
    """

    file: Path
    names: dict[int, str] = field(default_factory=dict)
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    path: str = ""
    keypoints: tuple[int, int] | None = None

    def locate(self, written: str, root: Path) -> Path | None:
        """Return the file or folder inside ``root`` that an entry of a split means, or None.

        Roboflow writes ``../train/images`` for a folder beside the file, others write paths of
        their own machine: the longest end of it that is there is taken.
        """
        parts = [part for part in PureWindowsPath(written).parts if part not in (".", "..")]
        bases = [self.file.parent / self.path.replace("\\", "/"), self.file.parent, root]
        for base in bases:
            found = Path(os.path.normpath(base / written.replace("\\", "/")))
            if found.exists() and found.is_relative_to(root):
                return found
        for start in range(len(parts)):
            for base in (self.file.parent, root):
                found = base.joinpath(*parts[start:])
                if found != base and found.exists() and found.is_relative_to(root):
                    return found
        return None


def find_config(listing: Listing) -> YoloConfig | None:
    """Return the configuration of a data set, or None if there is none.

    Raises:
        ValueError: If there are several, or it cannot be read.
    """
    found: list[str] = []
    names = sorted(listing.files(*_YAML), key=lambda name: (name.count("/"), name))
    for name in names:
        if found and name.count("/") > found[0].count("/"):
            break
        if read_yaml(listing.root / name) is not None:
            found.append(name)
    usual = [name for name in found if Path(name).stem.lower() in _USUAL]
    if len(found) > 1 and len(usual) != 1:
        raise ValueError(f"{listing.root} has several data sets: give one of {', '.join(found)}")
    if found:
        return read_yaml(listing.root / (usual or found)[0])
    for name in listing.files(".data"):
        return _read_darknet(listing, name)
    for name in [*listing.labels(".names"), *listing.labels(".txt"), *listing.labels(".labels")]:
        if name.endswith(".names") or Path(name).name in _NAME_LISTS:
            return YoloConfig(listing.root / name, _read_names(listing.root / name))
    return None


def read_yaml(path: Path) -> YoloConfig | None:
    """Return what a yaml file states, or None if it is not of a YOLO data set.

    Every value is read as text, so that a class may be called ``no`` or ``1``.

    Raises:
        ValueError: If it is of one, but something in it is wrong.
    """
    import yaml

    if path.stat().st_size > _LARGEST:
        return None
    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if path.stem.lower() in _USUAL:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path} cannot be read as yaml: {reason}") from error
        return None
    if not isinstance(content, dict) or not content.keys() & {"names", "nc"}:
        return None
    if not content.keys() & {"train", "val", "test", "path", "nc"}:
        return None
    splits = {}
    for key in ("train", "val", "valid", "validation", "test"):
        given = content.get(key) or ()
        entries = (given,) if isinstance(given, str) else tuple(given)
        if not all(isinstance(entry, str) for entry in entries):
            raise ValueError(f"{path}: {key} is a folder, a .txt file or a list of them")
        if entries:
            splits[split_of((key,)) or key] = entries
    base = content.get("path") or ""
    return YoloConfig(
        path,
        _names_of(content, path),
        splits,
        base if isinstance(base, str) else "",
        _keypoints_of(content.get("kpt_shape")),
    )


def _names_of(content: dict, path: Path) -> dict[int, str]:
    given = content.get("names")
    if given is None:
        count = content["nc"]
        if not (isinstance(count, str) and count.isdecimal() and int(count) < 100_000):
            raise ValueError(f"{path}: nc is a number of classes, got {count!r}")
        return {index: f"class_{index}" for index in range(int(count))}
    if isinstance(given, list):
        given = {str(index): name for index, name in enumerate(given)}
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{path}: names is a list of the classes' names, or has one for each id")
    if not all(isinstance(name, str) for name in given.values()):
        raise ValueError(f"{path}: names has something that is not a name")
    if not all(isinstance(key, str) and key.isdecimal() for key in given):
        wrong = next(key for key in given if not (isinstance(key, str) and key.isdecimal()))
        raise ValueError(f"{path}: names has the id {wrong!r}, which is not a whole number from 0")
    by_id = sorted((int(key), name) for key, name in given.items())
    return {key: name.strip() or f"class_{key}" for key, name in by_id}


def _keypoints_of(shape: object) -> tuple[int, int] | None:
    if isinstance(shape, list) and len(shape) == 2 and all(str(one).isdecimal() for one in shape):
        return int(shape[0]), int(shape[1])
    return None


def _read_darknet(listing: Listing, name: str) -> YoloConfig:
    """Read Darknet's ``obj.data``: lines such as ``train = data/train.txt``."""
    path = listing.root / name
    lines = (line.partition("=") for line in read_text(path).splitlines())
    values = {key.strip(): value.strip() for key, _, value in lines if value.strip()}
    keys = dict(train="train", val="valid", test="test")
    splits = {split: (values[key],) for split, key in keys.items() if key in values}
    config = YoloConfig(path, {}, splits)
    names = config.locate(values["names"], listing.root) if "names" in values else None
    return YoloConfig(path, _read_names(names) if names else {}, splits)


def _read_names(path: Path) -> dict[int, str]:
    """Read a file with a name in each line; an empty line at the end is none."""
    lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
    return {index: name or f"class_{index}" for index, name in enumerate(lines)}
