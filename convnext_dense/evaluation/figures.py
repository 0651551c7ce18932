"""The figures of an evaluation, and the files that keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convnext_dense.csv_files import as_csv
from convnext_dense.files import write_whole

METRICS_FILE = "metrics.json"
PER_CLASS_FILE = "per_class.csv"


@dataclass(frozen=True)
class Figures:
    """The figures of a benchmark's evaluation.

    Attributes:
        summary: The official figures by name, in the metric's own units: ``bbox_AP``,
            ``segm_AR100``, ... from 0 to 1, and -1 if there is nothing to find (pycocotools); or
            ``mIoU``, ``mAcc``, ``aAcc`` in percent (mmseg).
        per_class: One row per class: ``class`` and its figures in the same units, NaN if there is
            nothing to find.
    """

    summary: Mapping[str, float]
    per_class: list[dict[str, str | float]] = field(default_factory=list)


def write_figures(folder: str | Path, figures: Figures, **about: object) -> list[Path]:
    """Write ``metrics.json`` and ``per_class.csv``, each whole or not at all.

    Args:
        folder: Created if it is missing.
        figures: What to write. Without rows per class, ``per_class.csv`` is not written, and that
            of an earlier evaluation is removed.
        about: Other keys of ``metrics.json``, beside ``metrics``.

    Returns:
        The files that were written.

    Raises:
        OSError: If a file could not be written; the earlier one stays as it was.
    """
    content = dict(about, metrics=dict(figures.summary))
    metrics, per_class = Path(folder) / METRICS_FILE, Path(folder) / PER_CLASS_FILE
    # mmengine's metrics may contain numpy's scalars, which JSON cannot represent.
    write_whole(metrics, json.dumps(content, indent=2, default=float) + "\n")
    if not figures.per_class:
        per_class.unlink(missing_ok=True)
        return [metrics]
    write_whole(per_class, as_csv(figures.per_class))
    return [metrics, per_class]
