"""Make matplotlib's figures SVG elements of a page: in its colours, with unique ids."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from convnext_dense.text import printable

RUNS = 8
# Stand-ins for the page's colours, which are different in light and dark mode.
_TEXT, _GRID = "#010203", "#010204"
_THEME = {_TEXT: "currentColor", _GRID: "var(--grid)"} | {
    f"#0102{16 + number:02x}": f"var(--run{number})" for number in range(RUNS)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a name may contain dollar signs
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib knows its sizes
    "font.size": 9,
    "text.color": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": _GRID,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# As in `url(#clip)` and `href="#marker"`, but not a colour.
_REFERENCE = re.compile(r"(?<=url\()#[\w-]+|^#[\w-]+$")
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def run_colour(number: int) -> str:
    """Return the stand-in for a run's colour; the page replaces it."""
    return list(_THEME)[2 + number % RUNS]


@contextmanager
def themed_figure(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure whose text and lines have the page's style.

    Args:
        width: Inches; a point of text is 1/72 inch.
        height: Inches.
    """
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def render_svg(figure: Figure, prefix: str, description: str) -> Markup:
    """Render a figure of :func:`themed_figure` as an SVG element.

    Args:
        figure: The figure.
        prefix: The prefix of its ids; unique in the page.
        description: Text for readers who cannot see it.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    # matplotlib does not escape names, and XML allows no control characters.
    root = ElementTree.fromstring(printable(buffer.getvalue().decode(), lines=True))
    _rename_ids(root, prefix)
    # Its style would apply to the whole page, which has its own.
    for parent in root.iter():
        for child in [c for c in parent if c.tag == f"{{{_SVG}}}style"]:
            parent.remove(child)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", printable(description))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    text = ElementTree.tostring(root, encoding="unicode")
    for stand_in, colour in _THEME.items():
        text = text.replace(stand_in, colour)
    return Markup(text)


def _rename_ids(root: ElementTree.Element, prefix: str) -> None:
    """Add a prefix to the ids that are referred to, and remove the others."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {match[0][1:] for value in values for match in _REFERENCE.finditer(value)}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name != "id":
                element.set(name, _REFERENCE.sub(lambda m: m[0].replace("#", f"#{prefix}-"), value))
            elif value in used:
                element.set(name, f"{prefix}-{value}")
            else:
                del element.attrib[name]
