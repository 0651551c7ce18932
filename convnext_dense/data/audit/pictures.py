"""Open every picture as training does, and check that it is whole and of the annotated size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from mmengine.config import ConfigDict
from torch.utils.data import DataLoader, Dataset

from convnext_dense.config_tree import type_name, walk
from convnext_dense.data.check_files import digest_of
from convnext_dense.data.decoding import Header, decode, read_header
from convnext_dense.data.pipelines import LOADERS, PACKAGES
from convnext_dense.data.rules.findings import Finding, Findings
from convnext_dense.limits import count_cores

# Fewer pictures are checked faster without worker processes.
_WORTH_WORKERS = 200
_BATCH = 16
_MOST_WORKERS = 16
_UNKNOWN = "it cannot be decoded as a picture"


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Picture:
    """A picture of a data set.

    Attributes:
        path: Its file, which exists.
        size: (width, height) as annotated, or None if it is not annotated.
    """

    path: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class PictureCheck:
    """Result of the check of a picture.

    Attributes:
        problem: Why it cannot be read, or None.
        size: (width, height) in training.
        header: Its header, or None if Pillow does not know the format.
        channels: Number of channels in training; None if only headers are read.
        remarks: What training leaves out or changes, from
            :data:`~convnext_dense.data.loading.REMARKS`.
        identity: Equal for equal files; the path if only headers are read.
    """

    problem: str | None
    size: tuple[int, int] = (0, 0)
    header: Header | None = None
    channels: int | None = None
    remarks: tuple[str, ...] = ()
    identity: str = ""


def image_loader(dataset: ConfigDict, scope: str | None = None) -> Callable[[dict], dict] | None:
    """Build the transform that loads a data set's images.

    Args:
        dataset: The data set's dict.
        scope: Scope in which a transform of the user's own is looked up.

    Returns:
        Our checked version of mmcv's transform, or the user's own; None for other transforms of the
        OpenMMLab packages, which do not load from a single file.
    """
    from mmengine.registry import TRANSFORMS

    from convnext_dense.data.loading import LoadPicture

    for _, node in walk(dataset.get("pipeline")):
        name = type_name(node)
        if name in LOADERS:
            keys = ("color_type", "imdecode_backend", "backend_args")
            return LoadPicture(**{key: node[key] for key in keys if key in node})
        if name.startswith("Load") and "Annotation" not in name:
            with TRANSFORMS.switch_scope_and_registry(scope) as registry:
                kind = registry.get(node.type) if isinstance(node.type, str) else node.type
                is_own = kind and kind.__module__.partition(".")[0] not in PACKAGES
                return registry.build(node) if is_own else None
    return None


def check_picture(path: str, load: Callable[[dict], dict] | None, fast: bool) -> PictureCheck:
    """Open a picture and check it.

    Args:
        path: Its file.
        load: The loading transform of the training, see :func:`image_loader`.
        fast: Whether to read only the header.
    """
    from convnext_dense.data.loading import channels_of, is_turned, remarks

    color_type = getattr(load, "color_type", "unchanged")
    header = None
    try:
        header = read_header(path, path)
        if load is None or (fast and header):
            if header is None:
                return PictureCheck(_UNKNOWN)
            if not fast:
                decode(Path(path).read_bytes(), path, color_type)
            image = None
            size = header.shown_size if is_turned(header, color_type) else header.size
        else:
            image = load(dict(img_path=path))["img"]
            size = image.shape[1::-1]
    except ValueError as error:
        return PictureCheck(_one_line(error, path))
    except Exception as error:  # loaders of others can raise anything
        return PictureCheck(_UNKNOWN if header is None else _one_line(error, path))
    said = () if header is None else remarks(header, image, color_type, is_annotated=True)
    return PictureCheck(
        None,
        size,
        header,
        None if image is None else channels_of(image),
        tuple(said),
        path if fast else digest_of(path),
    )


def report_pictures(
    findings: Findings,
    pictures: Sequence[Picture],
    checks: Sequence[PictureCheck],
    channels: int | None = None,
) -> None:
    """Report pictures that cannot be used, and what training leaves out of others.

    Args:
        findings: Collects the report.
        pictures: The pictures.
        checks: The check of each picture.
        channels: Channels that each picture must have; None if the pipeline may change them.
    """
    from convnext_dense.data.loading import DEPTH, FRAMES, TURNED, other_size

    pairs = list(zip(pictures, checks, strict=True))
    findings.add_error(
        "images that cannot be read", (f"{p.path}: {k.problem}" for p, k in pairs if k.problem)
    )
    read = [(picture, check) for picture, check in pairs if not check.problem]
    findings.add_error(
        "images of another size than annotated",
        (
            other_size(p.path, k.size, p.size, k.header)
            for p, k in read
            if p.size and k.size != p.size
        ),
    )
    if channels:
        findings.add_error(
            f"images of other channels than model.backbone.in_channels, which is {channels}",
            (f"{p.path}: {k.channels}" for p, k in read if k.channels not in (None, channels)),
        )
    findings.add_warning(
        "images of more than 8 bits per value, of which LoadImageFromFile keeps 8: its "
        "color_type='unchanged' with imdecode_backend='cv2', and ScaleValues behind it, keep all",
        (f"{p.path}: {k.header.bits} bits" for p, k in read if k.header and DEPTH in k.remarks),
    )
    findings.add_warning(
        "images that training turns or mirrors by their EXIF orientation: check that the "
        "annotations agree, which `draw_samples` shows",
        (
            f"{p.path}: orientation {k.header.orientation}"
            for p, k in read
            if k.header and TURNED in k.remarks
        ),
    )
    findings.add_warning(
        "images of several pages or frames, of which only the first is used",
        (p.path for p, k in read if FRAMES in k.remarks),
    )


def map_in_workers(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None, title: str
) -> Iterator[Result]:
    """Call a function on each item in worker processes, with a progress bar on a terminal.

    Args:
        function: The function, which can be pickled, as its results can.
        items: Arguments of the calls.
        workers: Number of processes; None for one per core if there are many items.
        title: Text of the progress bar.

    Yields:
        The results in the order of the items.
    """
    from rich.console import Console
    from rich.progress import track

    if workers is None:
        workers = min(count_cores(), _MOST_WORKERS) if len(items) >= _WORTH_WORKERS else 0
    loader = DataLoader(
        _Mapped(function, items), batch_size=_BATCH, num_workers=workers, collate_fn=list
    )
    console = Console(stderr=True)
    watched = console.is_terminal and len(items) > 0
    for batch in track(loader, title, console=console, transient=True, disable=not watched):
        yield from batch


class Leaks:
    """Finds pictures of training that are in validation or test too."""

    def __init__(self) -> None:
        self._train: dict[str, str] = {}
        self._test: dict[str, str] = {}

    def add(self, split: str, pictures: Sequence[Picture], checks: Sequence[PictureCheck]) -> None:
        """Let the pictures of a split, with the check of each, be compared."""
        side = self._train if split == "train" else self._test
        for picture, check in zip(pictures, checks, strict=True):
            if not check.problem:
                side[check.identity] = picture.path

    def findings(self, by: str) -> list[Finding]:
        """Return a warning if there are any; ``by`` says what identifies a picture."""
        both = Findings("train, val, test")
        both.add_warning(
            f"pictures of training that are in validation or test too, by their {by}",
            (
                file if file == self._test[identity] else f"{file} is {self._test[identity]}"
                for identity, file in self._train.items()
                if identity in self._test
            ),
        )
        return both.found


class _Mapped(Dataset[Result], Generic[Item, Result]):
    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function = function
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Result:
        return self._function(self._items[index])


def _one_line(error: Exception, path: str) -> str:
    """Return an error in one line without the picture's path."""
    return (
        " ".join(str(error).replace(path, "").split()).strip(" :").removeprefix("is ")
        or type(error).__name__
    )
