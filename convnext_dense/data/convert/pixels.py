"""Find out what the pixels of a source's masks mean, where its format does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from convnext_dense.data.convert.colour_table import find_colour_table, read_colour_table
from convnext_dense.data.convert.masks import DamagedError, open_mask, scan
from convnext_dense.data.formats.source import Loss, Picture, Pixels, Rgb, Source, UnnamedError
from convnext_dense.data.label_maps import IGNORED
from convnext_dense.text import first_of

_WITH_MASKS = ("voc", "label-maps", "colours")
_MOST_SHOWN = 40


def with_pixels(source: Source, colours: str | Path | None, tell: Callable[[str], None]) -> Source:
    """Return a source whose ``pixels`` are known if it has masks.

    Args:
        source: A source.
        colours: A given table of colours, which wins.
        tell: Called with the table and where it is from.

    Raises:
        ValueError: If the table cannot be read, or none can be made of the masks.
        OSError: If there is no such file.
    """
    if source.format not in _WITH_MASKS:
        return source
    try:
        known = source.pixels
    except UnnamedError:
        known = {}
    masks = (picture.label_map for picture in source.pictures() if picture.label_map)
    first = next(masks, None)
    if first is None:
        return source
    if known and not colours:
        # Black and white masks of two named classes have 255 in place of 1.
        if set(known) <= {0, 1} and _is_black_and_white(first):
            values = {IGNORED if key == 1 else key: name for key, name in known.items()}
            return _WithPixels(source, values)
        return source
    folder = source.root if source.root.is_dir() else source.root.parent
    file = Path(colours) if colours else find_colour_table(folder)
    if file:
        pixels: Pixels = read_colour_table(file)
        origin = f"colours by {file}"
    else:
        pixels = scan(chain([first], masks))
        origin = "what the masks hold, since no table of colours was found; `rename` gives names"
    shown = [f"{_shown(key)} {name}" for key, name in pixels.items()]
    tell(f"{origin}: {first_of(shown, _MOST_SHOWN)}")
    return _WithPixels(source, pixels)


def _is_black_and_white(mask: Path) -> bool:
    try:
        return set(np.unique(np.asarray(open_mask(mask))).tolist()) <= {0, IGNORED}
    except DamagedError:
        return False


def _shown(key: int | Rgb) -> str:
    return str(key) if isinstance(key, int) else "#{:02x}{:02x}{:02x}".format(*key)


class _WithPixels:
    """A source with another meaning of its pixels."""

    def __init__(self, source: Source, pixels: Pixels) -> None:
        self._source, self.pixels = source, pixels
        self.losses: list[Loss] = []
        self.format, self.root, self.about = source.format, source.root, source.about
        self.folders = source.folders
        try:
            own = source.classes
        except UnnamedError:
            own = ()
        self.classes = tuple(dict.fromkeys([*own, *pixels.values()]))

    def pictures(self) -> Iterator[Picture]:
        """Yield the source's pictures."""
        for picture in self._source.pictures():
            self.losses = self._source.losses
            yield picture
        self.losses = self._source.losses
