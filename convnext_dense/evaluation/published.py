"""A test's figures beside the row that was published for the recipe."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

from convnext_dense.config.compare_configs import ABSENT, config_differences, find_recipe
from convnext_dense.config_tree import datasets
from convnext_dense.data.check import build_without_annotations
from convnext_dense.evaluation.figures import Figures
from convnext_dense.zoo import METRIC_TITLES, PUBLISHED

# Of COCO val2017 and of ADE20K's validation.
DETECTOR_IMAGES, SEGMENTER_IMAGES = 5000, 2000
TTA_METRIC = "mIoU (ms+flip)"
# What a trained model computes does not depend on these keys.
_OF_TRAINING = ("init_cfg", "pretrained", "train_cfg", "with_cp", "drop_path_rate")
_MOST_SHOWN, _LONGEST = 5, 60
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
        """Return it as ``metrics.json`` keeps it."""
        return asdict(self)


def compare(
    config: str | Path, figures: Figures, *, tta: bool, images: int, changes: list[str]
) -> Comparison | None:
    """Set the figures of a test beside those that were published for its recipe.

    A config of a recipe's name may be another one, such as that in a work directory: its model and
    classes are compared with the recipe's.

    Args:
        config: Path of the config.
        figures: Those of the test.
        tta: Whether it was the multi-scale and flip test.
        images: How many images it saw.
        changes: Names of what makes it another test than the published one.

    Returns:
        The comparison, or None where the config is no published recipe.
    """
    row = next((r for r in PUBLISHED if Path(r.config).name == Path(config).stem), None)
    if row is None:
        return None
    unlike = [*changes, *_unlike_recipe(Path(config))]
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


def _unlike_recipe(config: Path) -> list[str]:
    """Say what a config's model and classes differ in from the recipe of its name."""
    recipe = find_recipe(config.stem)
    if recipe is None:
        return [f"there is no configs/*/{config.name} to compare with"]
    if recipe.resolve() == config.resolve():
        return []
    try:
        changes = config_differences([_what_is_tested(config), _what_is_tested(recipe)])
    except Exception as error:  # the figures of a finished test are not to be lost
        return [f"the model cannot be compared with the recipe's ({error})"]
    unlike = []
    for change in changes[:_MOST_SHOWN]:
        here, there = map(_short, change.values)
        others = f" and {len(change.keys) - 1} more" if len(change.keys) > 1 else ""
        unlike.append(f"{change.keys[0]}{others}: {here}, in the recipe {there}")
    if len(changes) > _MOST_SHOWN:
        unlike.append(f"{len(changes) - _MOST_SHOWN} more values of the model")
    return unlike


def _what_is_tested(file: Path) -> Config:
    cfg = Config.fromfile(file, import_custom_modules=False)
    classes: list[str] = []
    for key, dataset in datasets(cfg, "test"):
        with contextlib.suppress(ValueError):  # classes that the caller alone names
            classes += build_without_annotations(cfg, key, dataset).metainfo["classes"]
    return Config(dict(classes=classes, model=_without_training(cfg.model)))


def _without_training(node: object) -> object:
    if isinstance(node, dict):
        return {k: _without_training(v) for k, v in node.items() if k not in _OF_TRAINING}
    if isinstance(node, list | tuple):
        return [_without_training(part) for part in node]
    return "BN" if node == "SyncBN" else node  # the same in a test


def _short(text: str) -> str:
    if text == ABSENT:
        return "not there"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
