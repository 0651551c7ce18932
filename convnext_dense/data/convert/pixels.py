"""Find out what the pixels of a source's masks mean, where its format does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from convnext_dense.data.convert.colour_table import Rgb, find_colour_table, read_colour_table
from convnext_dense.data.convert.masks import scan
from convnext_dense.data.formats.source import Loss, Picture, Source


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
    if source.pixels and colours is None:
        return source
    first = next((p.label_map for p in source.pictures() if p.label_map), None)
    if first is None:
        return source
    folder = source.root if source.root.is_dir() else source.root.parent
    file = Path(colours) if colours else find_colour_table(folder)
    if file:
        pixels: Mapping[int | Rgb, str] = read_colour_table(file)
        origin = f"colours by {file}"
    else:
        pixels = scan(p.label_map for p in source.pictures() if p.label_map)
        origin = "what the masks hold, since no table of colours was found; `rename` gives names"
    tell(f"{origin}: {', '.join(f'{_shown(key)} {name}' for key, name in pixels.items())}")
    return _WithPixels(source, pixels)


def _shown(key: int | Rgb) -> str:
    return str(key) if isinstance(key, int) else "#{:02x}{:02x}{:02x}".format(*key)


class _WithPixels:
    """A source with another meaning of its pixels."""

    def __init__(self, source: Source, pixels: Mapping[int | Rgb, str]) -> None:
        self._source, self.pixels = source, pixels
        self.losses: list[Loss] = []
        self.format, self.root, self.about = source.format, source.root, source.about
        self.classes = tuple(dict.fromkeys([*source.classes, *pixels.values()]))

    def pictures(self) -> Iterator[Picture]:
        """Yield the source's pictures."""
        for picture in self._source.pictures():
            self.losses = self._source.losses
            yield picture
        self.losses = self._source.losses
