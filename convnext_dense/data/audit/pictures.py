"""Every picture opened, as training would: is it there, whole and of the size that is annotated?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import ConfigDict
from PIL import ExifTags, Image, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset

from convnext_dense.data.cut_off import refuse_cut_off
from convnext_dense.data.rules.findings import Findings
from convnext_dense.data.tree import type_name, walk

# Fewer are looked at sooner than worker processes start.
_WORTH_WORKERS = 200
_BATCH = 16
_MOST_WORKERS = 16
# Values of EXIF's orientation that swap width and height.
_LYING = (5, 6, 7, 8)


@dataclass(frozen=True)
class Picture:
    """A picture that a data set names.

    Attributes:
        path: Its file, which is there.
        size: (width, height) as annotated, or None where the annotations do not say.
    """

    path: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Look:
    """What a look at a picture gave.

    Attributes:
        problem: Why it cannot be read, or None.
        size: (width, height) as training sees it.
        stored_size: The same before EXIF's orientation is applied.
        orientation: EXIF's, 1 where the picture is stored as it is shown.
        identity: Equal for equal files; the path where only headers are read.
    """

    problem: str | None
    size: tuple[int, int] = (0, 0)
    stored_size: tuple[int, int] = (0, 0)
    orientation: int = 1
    identity: str = ""


def image_loader(dataset: ConfigDict) -> Callable[[dict], dict] | None:
    """Build the transform that loads a data set's images, or None where mmcv has no part in it."""
    from mmcv.transforms import LoadImageFromFile

    for _, node in walk(dataset.get("pipeline")):
        if type_name(node) == "LoadImageFromFile":
            keys = ("color_type", "imdecode_backend", "backend_args")
            return LoadImageFromFile(**{key: node[key] for key in keys if key in node})
    return None


def look_at(path: str, load: Callable[[dict], dict] | None, fast: bool) -> Look:
    """Open a picture.

    Args:
        path: Its file.
        load: Training's own loading, see :func:`image_loader`.
        fast: Read the header alone.
    """
    stored_size, orientation, unknown = None, 1, None
    try:
        with _any_size(), Image.open(path) as picture:
            stored_size = picture.size
            if turns(load):
                orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
            if not fast and load is None:
                picture.load()
    except UnidentifiedImageError as error:
        unknown = error  # to PIL, but perhaps not to the loader
    except Exception as error:  # whatever a decoder raises
        return Look(_one_line(error, path))
    if load and not fast:
        try:
            refuse_cut_off(path)
            height, width = load(dict(img_path=path))["img"].shape[:2]
        except Exception as error:
            return Look("no picture that can be decoded" if unknown else _one_line(error, path))
        size = width, height
    elif unknown:
        return Look(_one_line(unknown, path))
    else:
        size = stored_size[::-1] if orientation in _LYING else stored_size
    identity = path if fast else _digest(path)
    return Look(None, size, stored_size or size, orientation, identity)


def turns(load: object) -> bool:
    """Tell whether mmcv turns a picture as EXIF's orientation says: not as ``unchanged``."""
    flag = getattr(load, "color_type", "unchanged")
    backend = getattr(load, "imdecode_backend", None)
    return flag in ("color", "grayscale") and backend in (None, "cv2", "pillow")


def report_looks(findings: Findings, pictures: Sequence[Picture], looks: Sequence[Look]) -> None:
    """Say which pictures cannot be read or are of another size than annotated."""
    pairs = list(zip(pictures, looks, strict=True))
    findings.error(
        "images that cannot be read", (f"{p.path}: {k.problem}" for p, k in pairs if k.problem)
    )
    read = [(picture, look) for picture, look in pairs if not look.problem]
    findings.error(
        "images of another size than annotated",
        (
            f"{p.path}: {_by(k.size)}, annotated {_by(p.size)}"
            + (" (turned by its EXIF orientation)" if k.stored_size == p.size else "")
            for p, k in read
            if p.size and k.size != p.size
        ),
    )
    findings.warning(
        "images that training turns or mirrors by their EXIF orientation: look whether the "
        "annotations agree (tools/data.py show)",
        (
            f"{p.path}: orientation {k.orientation}"
            for p, k in read
            if k.orientation != 1 and k.stored_size == k.size
        ),
    )


def in_workers(
    look: Callable[[object], object], items: Sequence[object], workers: int | None, title: str
) -> Iterator[object]:
    """Call a function on each item in worker processes, with a bar where someone watches.

    Args:
        look: The function; it and its results travel between processes.
        items: What to call it on.
        workers: How many processes; None for one per core where there are many items.
        title: What the bar says.

    Yields:
        The results in the order of the items.
    """
    from rich.console import Console
    from rich.progress import track

    if workers is None:
        cores = len(os.sched_getaffinity(0))
        workers = min(cores, _MOST_WORKERS) if len(items) >= _WORTH_WORKERS else 0
    loader = DataLoader(
        _Mapped(look, items), batch_size=_BATCH, num_workers=workers, collate_fn=list
    )
    console = Console(stderr=True)
    watched = console.is_terminal and len(items) > 0
    for batch in track(loader, title, console=console, transient=True, disable=not watched):
        yield from batch


class _Mapped(Dataset):
    def __init__(self, function: Callable[[object], object], items: Sequence[object]) -> None:
        self._function = function
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> object:
        return self._function(self._items[index])


@contextmanager
def _any_size() -> Iterator[None]:
    """Lift PIL's limit of pixels: these files are the user's own, and mmcv has no such limit."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _digest(path: str) -> str:
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=12).hexdigest()


def _one_line(error: Exception, path: str) -> str:
    """Put an error into one line without the path, which stands before it."""
    return " ".join(str(error).replace(path, "").split()).strip(" :") or type(error).__name__


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
