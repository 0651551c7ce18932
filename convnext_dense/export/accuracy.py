"""What an export costs, by the figures of the config's own test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import TEST, plan_run
from convnext_dense.config.steps.check_data import check_run_data
from convnext_dense.evaluation.run import test

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass(frozen=True)
class Loss:
    """The figures of two tests.

    Attributes:
        titles: What was tested before and after.
        before: Figures by name.
        after: The same names.
        images: How many were tested.
    """

    titles: tuple[str, str]
    before: Mapping[str, float]
    after: Mapping[str, float]
    images: int


def check_test(config: str | Path | Config, checkpoint: str | Path) -> None:
    """Check that a config has test data which can be used, before any work.

    Raises:
        ValueError: If it has none, or annotations cannot be read or do not fit the config.
        FileNotFoundError: If the data or the checkpoint is not there.
    """
    check_run_data(plan_run(RunOptions(config, checkpoint=str(checkpoint)), TEST))


def measure_loss(
    config: str | Path | Config, before: str, after: str, work: Path, tell: Callable[[str], None]
) -> Loss:
    """Test two models on the test data of a config.

    Args:
        config: The config.
        before: A checkpoint or an exported file.
        after: An exported file.
        work: A folder for what the tests write.
        tell: Called with messages for the user.
    """
    results = []
    for number, model in enumerate((before, after)):
        tell(f"test {Path(model).name}")
        folder = str(work / f"test_{number}")
        results.append(test(RunOptions(config, checkpoint=model, work_dir=folder)))
    first, second = (result.figures.summary for result in results)
    names = (Path(before).name, Path(after).name)
    return Loss(names, first, second, results[0].images)
