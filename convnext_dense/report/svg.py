"""matplotlib's figures as SVG inside a page: in its colours, without ids that could clash."""

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
# Stand-ins for the page's colours, which differ between light and dark.
_TEXT, _GRID = "#010203", "#010204"
_THEME = {_TEXT: "currentColor", _GRID: "var(--grid)"} | {
    f"#0102{16 + number:02x}": f"var(--run{number})" for number in range(RUNS)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a name may hold dollar signs
    "font.sans-serif": ["DejaVu Sans"],  # whose sizes matplotlib knows
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
# As in `url(#clip)` and `href="#marker"`; a colour stands elsewhere.
_REFERENCE = re.compile(r"(?<=url\()#[\w-]+|^#[\w-]+$")
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def run_colour(number: int) -> str:
    """Return the colour of a run for matplotlib; the page decides what it looks like."""
    return list(_THEME)[2 + number % RUNS]


@contextmanager
def themed(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure whose text and lines follow the page.

    Args:
        width: Inches; a point of text is a 72nd of one.
        height: Inches.
    """
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def inline(figure: Figure, prefix: str, description: str) -> Markup:
    """Render a figure of :func:`themed` as an SVG element.

    Args:
        figure: It.
        prefix: Begins its ids; unique in the page.
        description: What a reader who does not see it is told.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    # matplotlib writes names as they are, and XML has no control characters.
    root = ElementTree.fromstring(printable(buffer.getvalue().decode(), lines=True))
    _rename_ids(root, prefix)
    # It would hold for the whole page, which has it in its own style.
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
    """Put a prefix before the ids that something refers to, and drop the others."""
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
