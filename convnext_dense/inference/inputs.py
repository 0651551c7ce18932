"""Find the pictures that files, folders, globs and URLs name, and names for their outputs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from convnext_dense.files import is_part

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
# Most bytes in a name. File systems allow 255; suffixes and a number need some of them.
LONGEST = 200


def find_pictures(inputs: Iterable[str], leave_out: Iterable[Path] = ()) -> dict[str, str]:
    """Find the pictures that files, folders, globs and URLs name.

    Args:
        inputs: Any of these. Folders are searched with all folders below them.
        leave_out: Folders of outputs: pictures in them are not inputs.

    Returns:
        The path or URL of each picture, by a name for its outputs without suffix. The name is the
        path below the given folder, or the name of the file, cut if it is too long for a file. If
        two pictures would have the same name, a number is added.

    Raises:
        FileNotFoundError: If there is no such file, or no picture in a folder or glob.
        ValueError: If an input is an empty text, or lies among the outputs.
    """
    outputs = [folder.resolve() for folder in leave_out]
    found: dict[str, str] = {}
    for given in inputs:
        if not given.strip():  # to Path this is the current folder
            raise ValueError(
                f"the input {given!r} is empty (is a shell variable unset?): give a file, folder, "
                "glob or URL; '.' is the current folder"
            )
        for source, name in _pictures(given, outputs):
            stem, number = _stem(PurePosixPath(name)), 2
            unique = stem
            while unique in found:
                unique, number = f"{stem}-{number}", number + 1
            found[unique] = source
    return found


def _stem(path: PurePosixPath) -> str:
    name = os.fsencode(path.stem)
    # A short name stays as it is: some names are not valid text, and cutting would change them.
    stem = path.stem if len(name) <= LONGEST else name[:LONGEST].decode(errors="ignore")
    return str(path.with_name(stem))


def _pictures(given: str, outputs: Sequence[Path]) -> list[tuple[str, str]]:
    if "://" in given:
        name = PurePosixPath(unquote(urlparse(given).path)).name.replace("\0", "")
        return [(given, "picture" if name in ("", "..") else name)]
    path = Path(given)
    if _is_below(path, outputs):
        raise ValueError(
            f"the input {given} is in the folder of the outputs: give another folder as `out`"
        )
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_input(file, outputs)]
        if not files:
            raise FileNotFoundError(
                f"there is no picture in the folder {given}: they end in {', '.join(SUFFIXES)}"
            )
        return [(str(file), file.relative_to(path).as_posix()) for file in files]
    if path.is_file():  # before globs, since a name may contain brackets
        return [(given, path.name)]
    # Path.glob does not accept an absolute pattern.
    files = sorted(map(Path, glob.glob(given, recursive=True)))  # noqa: PTH207
    files = [file for file in files if _is_input(file, outputs)]
    if not files:
        kind = "no picture matches" if glob.has_magic(given) else "there is no picture or folder"
        raise FileNotFoundError(f"{kind} {given}")
    return [(str(file), file.name) for file in files]


def _is_input(file: Path, outputs: Sequence[Path]) -> bool:
    is_picture = file.suffix.lower() in SUFFIXES and file.is_file() and not is_part(file)
    return is_picture and not _is_below(file, outputs)


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in folders)
