"""Read label maps: for each picture a file of one channel that holds the class of each pixel.

Pictures and maps lie in two folders of the same structure, as mmseg has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.listing import Listing, stem_of
from convnext_dense.data.formats.reader import Reader
from convnext_dense.data.formats.source import Picture
from convnext_dense.data.formats.splits import split_of
from convnext_dense.data.formats.text_files import read_text
from convnext_dense.data.formats.voc_maps import values_of
from convnext_dense.data.label_maps import is_one_channel

# The folder of the maps, and that of their pictures.
FOLDERS = {"annotations": "images", "ann_dir": "img_dir", "labels": "images", "masks": "images"}
LOOKED_FOR = "label maps in annotations/ (or ann_dir/, labels/, masks/) beside images/"
_NAMES = ("classes.txt", "class_names.txt", "labels.txt", "codes.txt")
_NO_NAMES = (
    "its label maps are numbers, and no file such as classes.txt names them: give `classes`, the "
    "name of label 1 first, or of label 0 if that is 'background'"
)


def find_maps(listing: Listing) -> dict[str, str]:
    """Return the picture by the name of its map, for all maps in the usual folders."""
    pictures = {stem_of(name).casefold(): name for name in listing.pictures}
    found = {}
    for name in listing.pictures:
        parts = PurePosixPath(stem_of(name)).parts
        for index in reversed(range(len(parts) - 1)):
            of_pictures = FOLDERS.get(parts[index].lower())
            if of_pictures and name.lower().endswith(".png"):
                stem = "/".join([*parts[:index], of_pictures, *parts[index + 1 :]])
                if stem.casefold() in pictures:
                    found[name] = pictures[stem.casefold()]
                break
    return found


def find(listing: Listing) -> str | None:
    """Return what shows that a source is in this format, or None."""
    first = next(iter(find_maps(listing)), None)
    if first is None or listing.given:
        return None
    header = read_header(str(listing.image_root / first), first)
    return str(listing.image_root / first) if header and is_one_channel(header) else None


class LabelMaps(Reader):
    """Label maps; see the module."""

    format = "label-maps"

    def __init__(self, listing: Listing, classes: Sequence[str] | None = None) -> None:
        super().__init__(listing, classes)
        self._maps = find_maps(listing)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Given names, or those of a file."""
        if self.given_classes:
            return self.given_classes
        for name in self.listing.labels(".txt"):
            if PurePosixPath(name).name.lower() in _NAMES:
                lines = read_text(self.listing.root / name).splitlines()
                return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
        raise ValueError(f"{self.root}: {_NO_NAMES}")

    @cached_property
    def pixels(self) -> Mapping[int | tuple[int, int, int], str]:
        """The class of each label."""
        return values_of(self.classes)

    def read(self) -> Iterator[Picture]:
        """Yield the pictures that have a map."""
        by_picture = {picture: name for name, picture in self._maps.items()}
        for name in self.listing.pictures:
            if name in by_picture:
                measured = self.measure(name)
                if measured:
                    split = split_of(name.split("/")[:-1])
                    label_map = self.path(by_picture[name])
                    yield self.fitted(name, measured, split=split, label_map=label_map)
            elif name not in self._maps:
                kind = "maps" if _in_maps(name) else "pictures"
                other = "pictures" if kind == "maps" else "maps"
                self.lose(f"{kind} without {other} are left out", name, error=kind == "maps")


def _in_maps(name: str) -> bool:
    return any(part.lower() in FOLDERS for part in name.split("/")[:-1])
