"""Write measurements as tables of plain text, as JSON and as a picture."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from convnext_dense.benchmark.backbone import OURS, Measurement, Row, Setting
from convnext_dense.benchmark.models import ModelRow
from convnext_dense.benchmark.timing import Spread
from convnext_dense.files import replacing, write_whole
from convnext_dense.kernels.switched_off import device_name
from convnext_dense.version import installed_version

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIBRARIES = (
    "convnext-dense", "torch", "timm", "transformers", "torchvision", "mmpretrain", "triton",
    "mmengine", "mmcv", "mmcv-lite", "mmdet", "mmsegmentation",
)  # fmt: skip


def environment(device: torch.device) -> dict[str, str | int | dict[str, str]]:
    """Describe the machine, the versions and the command line."""
    return dict(
        command=shlex.join(["python", *sys.argv]),
        device=str(device),
        processor=device_name(device),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        versions=installed_versions(),
    )


def installed_versions() -> dict[str, str]:
    """Return the versions of the libraries that matter for speed, by name."""
    return {name: found for name in LIBRARIES if (found := installed_version(name))}


def backbone_text(measured: Measurement, setting: Setting) -> str:
    """Lay out the measurement of an arch."""
    height, width = setting.shape
    ceiling = measured.ceiling
    lines = [
        f"{measured.arch}, {setting.batch}x3x{height}x{width}, {setting.dtype}, {setting.mode}, "
        f"{_machine(setting.device)}",
        f"ceiling: {ceiling.matrix_rate / 1e9:.0f} GFLOP/s ({ceiling.operator}, "
        f"{'x'.join(map(str, ceiling.shape))}), copy {ceiling.copy_rate / 1e9:.1f} GB/s; "
        f"a pass is {measured.flops / 1e9:.1f} GFLOP",
        "",
        _table(
            [
                "", "outputs", "median, ms", "quartiles", "ratio to ours", "quartiles",
                "peak, MB", "ceiling", "error", "start, s",
            ],
            [_cells(row) for row in measured.rows],
        ),
    ]  # fmt: skip
    lines += [_other_network(row, measured) for row in measured.rows if not row.is_same]
    for compiled in sorted({row.compiled for row in measured.rows}):
        if fastest := measured.fastest_peer(compiled):
            of = "of eager and compiled peers, " if compiled else ""
            lines.append(
                f"fastest peer / ours: {fastest.ratio.median:.2f} ({of}{fastest.title}, "
                f"{_outputs(fastest)})"
            )
    lines += [f"skipped: {name}: {reason}" for name, reason in measured.skipped.items()]
    for title, parts in measured.parts.items():
        rows = [[p.kind, f"{p.seconds * 1e3:.1f}", f"{p.share:.0%}"] for p in parts]
        lines += ["", f"where the time of {title} goes", _table(["", "ms", "share"], rows)]
    return "\n".join(lines) + "\n"


def _other_network(row: Row, measured: Measurement) -> str:
    ours = measured.rows[0]
    sizes = [f"{r.parameters / 1e6:.1f}M and {r.flops / 1e9:.1f} GFLOP" for r in (row, ours)]
    return f"{row.title} is another network: {sizes[0]}, ours {sizes[1]}"


def models_text(rows: list[ModelRow], device: torch.device) -> str:
    """Lay out the measurement of whole models."""
    phases = list(rows[0].samples)
    lines = [f"{rows[0].mode}, {_machine(device)}", ""]
    titles = ["", "precision", "input", *(f"{phase}, ms" for phase in phases)]
    titles += ["total, ms", "quartiles", "images/s", "total / first", "quartiles", "peak, MB"]
    cells = []
    for row in rows:
        height, width = row.shape
        total, ratio = row.total, row.ratio_to(rows[0])
        cells.append(
            [
                row.title,
                row.precision,
                f"{row.batch}x3x{height}x{width}",
                *(f"{Spread.of(row.samples[p]).median * 1e3:.1f}" for p in phases),
                f"{total.median * 1e3:.1f}",
                _quartiles(total, 1e3, 1),
                f"{row.batch / total.median:.2f}",
                f"{ratio.median:.2f}",
                _quartiles(ratio, 1, 2),
                f"{row.memory / 1e6:.0f}",
            ]
        )
    lines.append(_table(titles, cells))
    if len({(row.batch, row.shape) for row in rows}) > 1:
        lines.append("the inputs differ: `shape` and `batch` make them equal")
    lines += [f"{row.title}: {note}" for row in rows for note in row.notes]
    return "\n".join(lines) + "\n"


def write_json(
    path: str, device: torch.device, setting: dict, results: Iterable[Measurement | ModelRow]
) -> None:
    """Write the results, with every sample and what is needed to repeat the measurement.

    Args:
        path: The file.
        device: The device.
        setting: What was measured.
        results: Measurements of arches, or of whole models.
    """
    content = environment(device) | dict(setting=setting, results=[asdict(one) for one in results])
    write_whole(path, json.dumps(content, indent=1, default=str) + "\n")


def plot_backbones(path: str, measured: list[Measurement], setting: Setting) -> None:
    """Draw the time of each network, with its ratio to ours, one panel per arch."""
    height, width = setting.shape
    figure, panels = _panels([len(m.rows) for m in measured])
    figure.suptitle(
        f"{setting.batch}x3x{height}x{width}, {setting.dtype}, {setting.mode}, "
        f"{_machine(setting.device)}",
        fontsize=10,
    )
    for panel, one in zip(panels, measured, strict=True):
        times = [row.time for row in one.rows]
        bars = panel.barh(
            [row.title for row in one.rows],
            [time.median * 1e3 for time in times],
            xerr=_whiskers(times),
            color=["tab:blue" if row.network == OURS else "tab:gray" for row in one.rows],
        )
        labels = [f" {row.ratio.median:.2f}x" for row in one.rows]
        panel.bar_label(bars, labels, padding=3)
        panel.set_title(f"{one.arch}: ms per pass, and ratio to ours of the same outputs")
        _finish(panel)
    _save(figure, path)


def plot_models(path: str, rows: list[ModelRow], device: torch.device) -> None:
    """Draw the time of each model, phase by phase."""
    figure, (panel,) = _panels([len(rows)])
    figure.suptitle(f"{rows[0].mode}, {_machine(device)}", fontsize=10)
    left = [0.0] * len(rows)
    for phase in rows[0].samples:
        widths = [Spread.of(row.samples[phase]).median * 1e3 for row in rows]
        bars = panel.barh([row.title for row in rows], widths, left=left, label=phase)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    panel.bar_label(bars, [f" {r.ratio_to(rows[0]).median:.2f}x" for r in rows], padding=3)
    panel.set_title("ms per batch, and ratio to the first")
    figure.legend(loc="outside lower center", ncols=len(rows[0].samples), frameon=False)
    _finish(panel)
    _save(figure, path)


def _panels(sizes: list[int]) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a plot needs matplotlib: pip install matplotlib") from None
    heights = [1.2 + 0.35 * size for size in sizes]
    figure = Figure(figsize=(9, 0.6 + sum(heights)), layout="constrained")
    panels = figure.subplots(len(sizes), 1, squeeze=False, height_ratios=heights)
    return figure, list(panels[:, 0])


def _finish(panel: Axes) -> None:
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.set_xlim(left=0)
    panel.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: str) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)


def _whiskers(times: list[Spread]) -> list[list[float]]:
    return [
        [(t.median - t.low) * 1e3 for t in times],
        [(t.high - t.median) * 1e3 for t in times],
    ]


def _machine(device: torch.device) -> str:
    count = torch.get_num_threads()
    threads = f"{count} thread{'s' * (count > 1)}, " if device.type == "cpu" else ""
    return f"{device_name(device)}, {threads}torch {torch.__version__}"


def _outputs(row: Row) -> str:
    return "normed" if row.normed else "raw stages"


def _cells(row: Row) -> list[str]:
    return [
        row.title,
        _outputs(row),
        f"{row.time.median * 1e3:.1f}",
        _quartiles(row.time, 1e3, 1),
        f"{row.ratio.median:.2f}",
        _quartiles(row.ratio, 1, 2),
        f"{row.memory / 1e6:.0f}",
        f"{row.share:.0%}",
        f"{row.error:.0e}" if row.error is not None else "random" if row.is_same else "other",
        f"{row.start_up:.1f}",
    ]


def _quartiles(spread: Spread, unit: float, digits: int) -> str:
    return f"{spread.low * unit:.{digits}f} to {spread.high * unit:.{digits}f}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [titles, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
