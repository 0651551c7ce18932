"""A test's figures beside the row that was published for the recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from convnext_dense.evaluation.figures import Figures
from convnext_dense.zoo import METRIC_TITLES, PUBLISHED

# Of COCO val2017 and of ADE20K's validation.
DETECTOR_IMAGES, SEGMENTER_IMAGES = 5000, 2000
TTA_METRIC = "mIoU (ms+flip)"
# Ours, which are fractions of 1 for COCO, by the names of the published table.
_OURS = {
    "coco/bbox_mAP": ("bbox_AP", 100),
    "coco/segm_mAP": ("segm_AP", 100),
    "mIoU": ("mIoU", 1),
    TTA_METRIC: ("mIoU", 1),
}


@dataclass(frozen=True)
class Beside:
    """One figure here and as published, in percent.

    Attributes:
        metric: What it is called.
        here: The figure of this test.
        published: That of the authors.
        difference: The first less the second.
    """

    metric: str
    here: float
    published: float
    difference: float


@dataclass(frozen=True)
class Comparison:
    """The published row beside a test's figures.

    Attributes:
        name: What the row is called.
        figures: Those that both have.
        unlike: What makes the two incomparable, if anything.
    """

    name: str
    figures: list[Beside]
    unlike: list[str]

    def as_dict(self) -> dict:
        """Give it as ``metrics.json`` keeps it."""
        return asdict(self)


def compare(
    config: str | Path, figures: Figures, *, tta: bool, images: int, changes: list[str]
) -> Comparison | None:
    """Set the figures of a test beside those that were published for its recipe.

    Args:
        config: Path of the config.
        figures: Those of the test.
        tta: Whether it was the multi-scale and flip test.
        images: How many images it saw.
        changes: Flags that make it another test than the published one.

    Returns:
        The comparison, or None where the config is no published recipe.
    """
    row = next((r for r in PUBLISHED if Path(r.config).name == Path(config).stem), None)
    if row is None:
        return None
    unlike = list(changes)
    expected = DETECTOR_IMAGES if row.is_detector else SEGMENTER_IMAGES
    if images != expected:
        unlike.append(f"{images} images, published on {expected}")
    beside = []
    for metric, published in row.metrics.items():
        ours, scale = _OURS[metric]
        other_test = not row.is_detector and (metric == TTA_METRIC) != tta
        if ours in figures.summary and not other_test:
            here = round(figures.summary[ours] * scale, 2)
            difference = round(here - published, 2)
            beside.append(Beside(METRIC_TITLES[metric], here, published, difference))
    return Comparison(f"{row.name}, {row.pretrained}", beside, unlike)
