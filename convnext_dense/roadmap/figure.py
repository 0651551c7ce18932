"""Draw the steps from ResNet to ConvNeXt as the paper's figure 2: a bar for what each reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnext_dense.backbone.roadmap import STEPS
from convnext_dense.files import replacing
from convnext_dense.text import printable
from convnext_dense.zoo.roadmap import ROADMAP, SWIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A colour for each heading of the paper, and for what stands behind.
COLOURS = {
    "macro design": "#4e79a7",
    "ResNeXt-ify": "#59a14f",
    "inverted bottleneck": "#b6992d",
    "large kernels": "#b07aa1",
    "micro design": "#e15759",
}
BEHIND = "#d4d4d4"
# Text stays text, and a name may contain dollar signs.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "roadmap",
    "text.parse_math": False,
}
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Bar:
    """What a step reaches.

    Attributes:
        step: Its name.
        value: Where the bar ends.
        label: Text beside it.
        deviation: Half the length of the line at its end, or None.
        points: Single values, such as those of each training.
        behind: Where a grey bar behind it ends, or None.
    """

    step: str
    value: float
    label: str
    deviation: float | None = None
    points: Sequence[float] = ()
    behind: float | None = None


def check_format(path: str | Path) -> None:
    """Refuse a file that a figure cannot be written to.

    Raises:
        ValueError: If its suffix is none of :data:`FORMATS`.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"a figure is written as {', '.join(FORMATS)}, not as {path}")


def draw_published(path: str | Path, steps: Sequence[str] = tuple(STEPS)) -> None:
    """Draw the figure of the paper from its tables, with the multiply-adds beside the bars.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the suffix is not that of a picture.
        WriteError: If the file cannot be written.
    """
    bars = []
    for step in steps:
        tiny, base = ROADMAP["tiny"][step], ROADMAP["base"][step]
        label = f"{tiny.top1:.1f} | {base.top1:.1f} %    {tiny.gflops:.2f} | {base.gflops:.2f} G"
        bars.append(Bar(step, tiny.top1, label, tiny.deviation, behind=base.top1))
    lines = {f"Swin-{size[0].upper()}: {swin.top1:.1f} %, {swin.gflops:.2f} G": swin.top1
             for size, swin in SWIN.items()}  # fmt: skip
    draw(
        path,
        bars,
        "From ResNet-50 to ConvNeXt-T; grey: from ResNet-200 to ConvNeXt-B",
        "ImageNet-1K top-1 (%), as published",
        lines,
    )


def draw(
    path: str | Path,
    bars: Sequence[Bar],
    title: str,
    unit: str,
    lines: Mapping[str, float] | None = None,
) -> None:
    """Draw a bar for each step, in the colour of the paper's heading for it.

    Args:
        path: The picture, ``.png``, ``.svg`` or ``.pdf``.
        bars: The bars, from the top.
        title: What is shown.
        unit: What the axis says.
        lines: Vertical lines by their names.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the suffix is not that of a picture.
        WriteError: If the file cannot be written.
    """
    check_format(path)
    with _panel(path, len(bars)) as panel:
        ends = [*(lines or {}).values()]
        for bar in bars:
            spread = bar.deviation or 0.0
            behind = bar.value if bar.behind is None else bar.behind
            ends += [bar.value - spread, bar.value + spread, behind, *bar.points]
        room = 0.12 * (max(ends) - min(ends)) or abs(max(ends)) or 1.0
        least = min(bar.value for bar in bars)
        panel.set_xlim(max(min(ends) - 3 * room, min(least, 0.0)), max(ends) + room)
        for place, bar in enumerate(bars):
            _draw_bar(panel, place, bar)
        for section in dict.fromkeys(STEPS[bar.step].section for bar in bars):
            panel.barh(0, 0, color=COLOURS[section], label=section)
        for (name, value), style in zip((lines or {}).items(), ("--", ":"), strict=False):
            panel.axvline(value, color="black", linewidth=0.8, linestyle=style, label=name)
        panel.set_yticks(range(len(bars)), [bar.step for bar in bars])
        panel.invert_yaxis()
        panel.set_title(printable(title), fontsize=10, loc="left")
        panel.set_xlabel(printable(unit))
        panel.figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)


def _draw_bar(panel: Axes, place: int, bar: Bar) -> None:
    step = STEPS[bar.step]
    look = dict(hatch="////", fill=False) if step.is_aside else dict(color=COLOURS[step.section])
    if bar.behind is not None:
        panel.barh(place, bar.behind, height=0.8, color=BEHIND)
    panel.barh(
        place, bar.value, height=0.55, edgecolor=COLOURS[step.section], **look, xerr=bar.deviation
    )
    panel.plot(bar.points, [place] * len(bar.points), "o", color="black", markersize=3)
    panel.annotate(
        printable(bar.label),
        (1, place),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=8,
    )


@contextmanager
def _panel(path: str | Path, bars: int) -> Iterator[Axes]:
    """Yield a panel, and write its picture when the block succeeds."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a figure needs matplotlib: pip install matplotlib") from None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.2 + 0.3 * bars), layout="constrained")
        panel = figure.subplots()
        panel.spines[["top", "right"]].set_visible(False)
        yield panel
        # An SVG is the same whenever it is drawn.
        undated = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
        with replacing(path) as part:
            figure.savefig(part, dpi=110, metadata=undated)
