"""Name the files of label maps, and pair predictions with their truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from convnext_dense.files import is_part
from convnext_dense.text import listed

SUFFIX = ".png"
_SHOWN = 5


def label_map_name(image: str | Path, folders: Iterable[str | Path]) -> str:
    """Return the path of an image's label map below the folder of maps.

    Args:
        image: The image's path.
        folders: Folders of images. The map's path is the image's below the folder that contains
            it; if none does, the map's path is the image's name.

    Example:
        >>> label_map_name("data/images/val/cam1/7.jpg", ["data/images/val"])
        'cam1/7.png'
    """
    image = Path(image)
    folder = next((f for f in folders if image.is_relative_to(f)), image.parent)
    return image.relative_to(folder).with_suffix(SUFFIX).as_posix()


def pair_label_maps(pred_dir: Path, gt_dir: Path) -> list[tuple[Path, Path]]:
    """Pair the PNGs in or below two folders by their relative paths.

    Raises:
        FileNotFoundError: If a folder is missing or has no PNG, or a prediction is missing.
        ValueError: If a prediction has no truth.
    """
    found = []
    for title, folder in (("predictions", pred_dir), ("truth", gt_dir)):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} of {title}")
        files = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.suffix.lower() == SUFFIX and not is_part(path)
        }
        if not files:
            raise FileNotFoundError(f"{folder} has no {SUFFIX} file: {title} are PNGs of labels")
        found.append(files)
    preds, truths = found
    without = sorted(truths.keys() - preds.keys())
    if without:
        raise FileNotFoundError(
            f"{pred_dir} lacks {len(without)} of the {len(truths)} label maps of {gt_dir}: "
            f"{first_few(without)}"
        )
    unknown = sorted(preds.keys() - truths.keys())
    if unknown:
        raise ValueError(
            f"{len(unknown)} of the {len(preds)} label maps of {pred_dir} have no truth in "
            f"{gt_dir}: {first_few(unknown)}"
        )
    return [(preds[name], truths[name]) for name in sorted(truths)]


def first_few(values: Iterable[object]) -> str:
    """Return the first of some values as text, and dots if there are more."""
    return listed(list(dict.fromkeys(map(str, values))), _SHOWN)
