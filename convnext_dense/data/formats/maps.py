"""Read label maps: for each picture a file that holds the class of each pixel, or its colour.

Pictures and maps lie in two folders of the same structure, as mmseg, CamVid and Supervisely have
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from convnext_dense.data.decoding import read_header
from convnext_dense.data.formats.listing import Listing, stem_of
from convnext_dense.data.formats.reader import Reader
from convnext_dense.data.formats.source import Picture, Pixels, UnnamedError
from convnext_dense.data.formats.splits import split_of_file
from convnext_dense.data.formats.text_files import read_text
from convnext_dense.data.formats.voc_maps import values_of
from convnext_dense.data.label_maps import is_one_channel

# The folder of the maps, and those of their pictures.
FOLDERS = {
    "annotations": ("images",),
    "ann_dir": ("img_dir",),
    "labels": ("images",),
    "masks": ("images", "imgs", "img"),
    "masks_machine": ("img",),
    "gt": ("images",),
}
# What a folder or file of maps has in its name beside that of the pictures, as in train_labels/.
_ENDINGS = ("_labels", "_masks", "_annotations", "_label", "_mask", "_gt", "_segmentation", "_l")
LOOKED_FOR = (
    "label maps, or masks as colours, in annotations/ (or ann_dir/, labels/, masks/, "
    "train_labels/) beside images/ (or img_dir/, train/)"
)
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
        *folders, base = stem_of(name).casefold().split("/")
        for index in reversed(range(len(folders))):
            bases = (base, _without_ending(base))
            places = [
                [*folders[:index], of, *folders[index + 1 :]] for of in _beside(folders[index])
            ]
            stems = ["/".join([*place, one]) for place in places for one in bases if one]
            picture = next((pictures[stem] for stem in stems if stem in pictures), None)
            if picture is not None:
                found[name] = picture
            if places:
                break
        alone = _without_ending(base)
        if name not in found and alone and not base.endswith("_l"):  # of the left camera
            beside = "/".join([*folders, alone])
            found |= {name: pictures[beside]} if beside in pictures else {}
    return found


def _beside(folder: str) -> tuple[str, ...]:
    """Return the names of the folders of pictures whose maps a folder may hold."""
    return FOLDERS.get(folder) or tuple(filter(None, [_without_ending(folder)]))


def _without_ending(name: str) -> str:
    """Return a name without what tells maps from pictures; empty if it has nothing of that."""
    return next((name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), "")


def recognise(listing: Listing) -> str | None:
    """Return a label map that shows that a source is in this format, or None."""
    return _find(listing, colours=False)


def recognise_colours(listing: Listing) -> str | None:
    """Return a mask as colours that shows that a source is in that format, or None."""
    return _find(listing, colours=True)


def _find(listing: Listing, *, colours: bool) -> str | None:
    first = None if listing.given else next(iter(find_maps(listing)), None)
    if first is None:
        return None
    header = read_header(str(listing.image_root / first), first)
    fits = header is not None and is_one_channel(header) is not colours
    return str(listing.image_root / first) if fits else None


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
        raise UnnamedError(f"{self.root}: {_NO_NAMES}")

    @cached_property
    def pixels(self) -> Pixels:
        """The class of each label."""
        return values_of(self.classes)

    def read(self) -> Iterator[Picture]:
        """Yield the pictures that have a map."""
        by_picture = {picture: name for name, picture in self._maps.items()}
        for name in self.listing.pictures:
            if name in by_picture:
                header = self.measure(name)
                if header:
                    split = split_of_file(name)
                    label_map = self.path(by_picture[name])
                    yield self.fitted(name, header, split=split, label_map=label_map)
            elif name not in self._maps:
                is_map = any(map(_beside, name.casefold().split("/")[:-1]))
                kind = "maps" if is_map else "pictures"
                other = "pictures" if kind == "maps" else "maps"
                what = f"{kind} without {other} are left out"
                self.lose(what, name, error=is_map, pictures=int(not is_map))


class Colours(LabelMaps):
    """Masks whose colours stand for the classes, which a table tells: see ``data/convert``."""

    format = "colours"

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """None is known before the table."""
        if self.given_classes:
            raise ValueError(
                f"{self.root}: `classes` names no colours: `colours` gives their table"
            )
        return ()

    @cached_property
    def pixels(self) -> Pixels:
        """None is known before the table."""
        return {}
