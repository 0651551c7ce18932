"""Read masks: pictures whose values or colours stand for classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from convnext_dense.data.decoding import any_size, read_header
from convnext_dense.data.formats.source import Pixels, Rgb
from convnext_dense.data.label_maps import IGNORED
from convnext_dense.text import one_line

UNLABELLED = 0
# A colour that is not in the table is taken for the nearest one up to this distance in RGB, and
# only if no other is less than twice as far: so JPEG's noise is undone, while the mixed colours
# along an edge are not mistaken for a third class.
_FARTHEST = 60.0
# Shares of a mask: of one colour that the table lacks, which is no edge; and of all that lies
# between colours.
_FLAT, _MIXED = 0.01, 0.1
# More colours are no table, but a photograph, or masks with soft edges.
_MOST_COLOURS = 254
_SHOWN = 8


class DamagedError(ValueError):
    """A mask cannot be read; the message names it."""


def open_mask(path: Path) -> Image.Image:
    """Open a mask.

    Raises:
        DamagedError: If it is missing, not a picture, damaged, or has too many pixels.
    """
    try:
        if read_header(str(path), str(path)) is None:
            raise DamagedError(f"mask {path} cannot be decoded as a picture")
        with any_size():
            picture = Image.open(path)
            picture.load()
    except DamagedError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(f"mask {path} is damaged or cut off: {one_line(error)}") from error
    return picture


class MaskReader:
    """Reads masks as labels: 0 for unlabelled, then the number of the class.

    Args:
        pixels: The class of each value, or of each colour as (red, green, blue).
        number: Returns the number of a class, from 1; None if it is left out.
        remark: Called with a line about colours that are not in the table, and a count of pixels.
    """

    def __init__(
        self,
        pixels: Pixels,
        number: Callable[[str], int | None],
        remark: Callable[[str, int], None],
    ) -> None:
        labels = {key: number(name) or UNLABELLED for key, name in pixels.items()}
        self._values = {key: label for key, label in labels.items() if isinstance(key, int)}
        colours = {key: label for key, label in labels.items() if not isinstance(key, int)}
        self._colours = np.array(list(colours), np.int64).reshape(-1, 3)
        self._labels = np.array(list(colours.values()), np.uint8)
        self._remark = remark

    def read(self, path: Path) -> np.ndarray:
        """Return the (H, W) uint8 labels of a mask.

        Raises:
            DamagedError: If it cannot be read.
            ValueError: If it has a colour that the table lacks.
        """
        picture = open_mask(path)
        if self._values:
            return self._by_value(picture, path)
        rgb = colours_of(picture)
        codes, inverse, counts = np.unique(_packed(rgb), return_inverse=True, return_counts=True)
        labels, mixed = self._nearest(_unpacked(codes))
        if mixed.any():
            self._refuse_missing(path, codes[mixed], counts[mixed], int(counts.sum()))
            self._remark(
                "masks with colours between those of the table, at soft edges: these pixels are "
                "unlabelled",
                int(counts[mixed].sum()),
            )
        found = labels[inverse].reshape(rgb.shape[:2])
        if picture.mode in ("RGBA", "LA"):
            found[np.asarray(picture.getchannel("A")) == 0] = UNLABELLED
        return found

    def _by_value(self, picture: Image.Image, path: Path) -> np.ndarray:
        if picture.mode in ("RGB", "RGBA"):
            raise ValueError(
                f"mask {path} holds colours, but others hold values: give their table by `colours`"
            )
        values = np.asarray(picture).astype(np.int64)
        table = np.zeros(max(int(values.max()), *self._values) + 1, np.uint8)
        for value, label in self._values.items():
            table[value] = label
        nameless = np.setdiff1d(np.unique(values), [*self._values, UNLABELLED, IGNORED])
        if nameless.size:
            self._remark(
                f"masks with the value {nameless[0]}, which no class has: these pixels are "
                "unlabelled",
                int(np.isin(values, nameless).sum()),
            )
        return table[values]

    def _nearest(self, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each of (N, 3) colours, and where none is near."""
        # In parts, since a JPEG may have a million colours.
        labels, mixed = np.zeros(len(colours), np.uint8), np.zeros(len(colours), bool)
        for start in range(0, len(colours), 10_000):
            part = colours[start : start + 10_000]
            distance = np.linalg.norm(part[:, None] - self._colours[None], axis=2)
            nearest = distance.argmin(1)
            sorted_ = np.sort(distance, 1)
            first = sorted_[:, 0]
            second = sorted_[:, 1] if sorted_.shape[1] > 1 else np.full(len(part), np.inf)
            far = (first > _FARTHEST) | (first * 2 > second)
            labels[start : start + 10_000] = np.where(far, UNLABELLED, self._labels[nearest])
            mixed[start : start + 10_000] = far
        return labels, mixed

    def _refuse_missing(
        self, path: Path, codes: np.ndarray, counts: np.ndarray, total: int
    ) -> None:
        largest = int(counts.argmax())
        share = counts[largest] / total
        if share > _FLAT:
            colour = tuple(_unpacked(codes[largest : largest + 1])[0].tolist())
            raise ValueError(
                f"mask {path} has the colour {colour} in {share:.1%} of its pixels, which the "
                "table of colours lacks: give a table with it by `colours`"
            )
        if counts.sum() / total > _MIXED:
            raise ValueError(
                f"{counts.sum() / total:.0%} of the pixels of mask {path} have colours between "
                "those of the table: save masks as PNG, resized without smoothing"
            )


def scan(paths: Iterable[Path]) -> dict[int | Rgb, str]:
    """Find what occurs in masks, and name it: by its value, or by its colour.

    Args:
        paths: The masks.

    Returns:
        The names, such as ``#804080`` for a colour. Masks of 0 and 255 alone have the classes
        ``background`` and ``foreground``. Damaged masks are skipped.

    Raises:
        ValueError: If there are more colours than a table has.
    """
    values: set[int] = set()
    colours: Counter[int] = Counter()
    for path in paths:
        try:
            picture = open_mask(path)
        except DamagedError:
            continue
        if picture.mode in ("RGB", "RGBA", "P", "LA"):
            codes, counts = np.unique(_packed(colours_of(picture)), return_counts=True)
            colours.update(dict(zip(codes.tolist(), counts.tolist(), strict=True)))
        else:
            values.update(np.unique(np.asarray(picture).astype(np.int64)).tolist())
        if max(len(values), len(colours)) > _MOST_COLOURS:
            often = ", ".join(_hex(code) for code, _ in colours.most_common(_SHOWN))
            raise ValueError(
                f"the masks have more than {_MOST_COLOURS} colours, up to {path}: their edges are "
                "soft, or they were saved as JPEG; give the table of the real ones by `colours`"
                + (f" (the most frequent are {often})" if often else "")
            )
    if colours:
        return {tuple(_unpacked(np.array([c]))[0].tolist()): _hex(c) for c in sorted(colours)}
    if values <= {0, 1, 255} and len(values) == 2:
        low, high = sorted(values)
        return {low: "background", high: "foreground"}
    return {value: f"class_{value}" for value in sorted(values)}


def colours_of(picture: Image.Image) -> np.ndarray:
    """Return the (H, W, 3) uint8 colours of a mask, through its palette if it has one."""
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _packed(rgb: np.ndarray) -> np.ndarray:
    r, g, b = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return (r << 16) | (g << 8) | b


def _unpacked(codes: np.ndarray) -> np.ndarray:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)


def _hex(code: int) -> str:
    return f"#{code:06x}"
