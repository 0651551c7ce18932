"""What the trainings of an ablation reached, kept in its folder: one file for each, and a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_dense.files import write_whole
from convnext_dense.report.run import read_run
from convnext_dense.text import nearest_first

RESULT, SETTINGS = "result.json", "roadmap.json"
# What a figure is called that names a model's quality alone, the first of these first.
MAIN = ("bbox_mAP", "segm_mAP", "mAP", "mIoU", "PQ")


@dataclass(frozen=True)
class Reached:
    """What the trainings of a step reached.

    Attributes:
        step: Its name.
        values: The figure of each seed.
    """

    step: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds, of a sample; None for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def folder_of(work_dir: str | Path, step: str, seed: int) -> Path:
    """Return the folder of a training."""
    return Path(work_dir) / step / f"seed_{seed}"


def keep_settings(work_dir: str | Path, settings: Mapping[str, object]) -> None:
    """Record what all trainings of a folder have in common, or compare it.

    Raises:
        ValueError: If the folder's earlier trainings were asked for something else.
    """
    file = Path(work_dir) / SETTINGS
    # As they are read back.
    ours = json.loads(json.dumps(settings, default=str))
    if not file.is_file():
        write_whole(file, json.dumps(ours, indent=1) + "\n")
        return
    theirs = _read(file)
    for name in {**theirs, **ours}:
        if (theirs.get(name) or None) != (ours.get(name) or None):
            raise ValueError(
                f"{work_dir} holds trainings with `{name}={theirs.get(name)!r}`, and this run asks "
                f"for `{name}={ours.get(name)!r}`: ask for the same, or give another `work_dir`"
            )


def is_finished(work_dir: str | Path, step: str, seed: int) -> bool:
    """Whether a training has ended and its figures are kept."""
    return (folder_of(work_dir, step, seed) / RESULT).is_file()


def keep_result(work_dir: str | Path, step: str, seed: int) -> dict[str, float]:
    """Keep the figures of the last validation of a training that has ended.

    Raises:
        RuntimeError: If it validated nothing.
    """
    folder = folder_of(work_dir, step, seed)
    run = read_run(folder)
    last = run.val[-1] if run.val else {}
    figures = {name: last[name] for name in run.metrics() if name in last}
    if not figures:
        raise RuntimeError(f"{folder} has no validation, so nothing can be compared")
    write_whole(folder / RESULT, json.dumps(figures, indent=1) + "\n")
    return figures


def read_results(
    work_dir: str | Path, steps: Sequence[str], metric: str | None = None
) -> tuple[str, list[Reached]]:
    """Read what the steps reached by all seeds that have ended, in the order of the steps.

    Args:
        work_dir: The folder of the ablation.
        steps: The steps to look for; those without a result are left out.
        metric: Name of a figure, or its end, such as ``mIoU``; None: the main one.

    Returns:
        The full name of the figure, and the steps.

    Raises:
        ValueError: If the trainings have no such figure; the message lists those that they have.
    """
    read = {
        step: [_read(file) for file in sorted((Path(work_dir) / step).glob(f"seed_*/{RESULT}"))]
        for step in steps
    }
    read = {step: figures for step, figures in read.items() if figures}
    known = dict.fromkeys(name for many in read.values() for one in many for name in one)
    name = find_metric(list(known), metric)
    reached = []
    for step, many in read.items():
        lacking = sum(name not in one for one in many)
        if lacking:
            raise ValueError(f"{lacking} trainings of {step} have no figure {name!r}")
        reached.append(Reached(step, tuple(float(one[name]) for one in many)))
    return name, reached


def find_metric(known: Sequence[str], metric: str | None) -> str:
    """Return the name of a figure.

    Raises:
        ValueError: If there is none; the message lists the known ones, the nearest first.

    Example:
        >>> find_metric(["coco/bbox_mAP", "coco/bbox_mAP_50"], None)
        'coco/bbox_mAP'
        >>> find_metric(["mIoU", "aAcc"], "aAcc")
        'aAcc'
    """
    for wanted in (metric,) if metric else MAIN:
        for name in known:
            if name == wanted or name.endswith(f"/{wanted}"):
                return name
    if metric is None and known:
        return known[0]
    listed = ", ".join(nearest_first(metric or "", known)) or "none at all"
    raise ValueError(f"the trainings have no figure `metric={metric!r}`; they have {listed}")


def _read(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): remove it") from error
    return content
