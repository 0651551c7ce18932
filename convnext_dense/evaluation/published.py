"""Compare a test's figures with those that were published for its recipe."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from convnext_dense.config.compare_configs import ABSENT, config_differences
from convnext_dense.config_tree import datasets
from convnext_dense.data.check import build_without_annotations
from convnext_dense.evaluation.figures import Figures
from convnext_dense.zoo.models import OPENMMLAB, row_of_model
from convnext_dense.zoo.recipes import find_recipe, recipes
from convnext_dense.zoo.results import METRIC_TITLES

# The number of images in COCO val2017 and in ADE20K's validation set.
DETECTOR_IMAGES, SEGMENTER_IMAGES = 5000, 2000
TTA_METRIC = "mIoU (ms+flip)"
# The predictions of a trained model do not depend on these keys.
_OF_TRAINING = ("init_cfg", "pretrained", "train_cfg", "with_cp", "drop_path_rate")
_MOST_SHOWN, _LONGEST = 5, 60
# The names of our figures by those of the published table, and the factor that makes them percent.
_OURS = {
    "coco/bbox_mAP": ("bbox_AP", 100),
    "coco/segm_mAP": ("segm_AP", 100),
    "mIoU": ("mIoU", 1),
    TTA_METRIC: ("mIoU", 1),
}


@dataclass(frozen=True)
class PublishedFigure:
    """One figure of a test and as published, in percent.

    Attributes:
        metric: Its name.
        here: The figure of this test.
        published: The figure of the authors.
        difference: ``here - published``.
    """

    metric: str
    here: float
    published: float
    difference: float


@dataclass(frozen=True)
class Comparison:
    """A test's figures and the published row.

    Attributes:
        name: The row's name.
        figures: The figures that both have.
        unlike: Reasons why the two cannot be compared, if any.
    """

    name: str
    figures: list[PublishedFigure]
    unlike: list[str]


def compare_with_published(
    config: str | Path,
    figures: Figures,
    *,
    tta: bool,
    images: int,
    changes: list[str],
    checkpoint: str | None = None,
) -> Comparison | None:
    """Compare the figures of a test with those that were published for its recipe.

    A config with a recipe's name may have been changed, such as that in a work directory: its model
    and classes are compared with the recipe's.

    Args:
        config: Path of the config.
        figures: The figures of the test.
        tta: Whether it was the multi-scale and flip test.
        images: The number of images that were tested.
        changes: Options that make it another test than the published one.
        checkpoint: Path or URL of the model, by which one of OpenMMLab is known.

    Returns:
        The comparison, or None if nothing was published for the config.
    """
    row = row_of_model(config, checkpoint)
    if row is None:
        return None
    unlike = [*changes, *_unlike_recipe(Path(config))]
    if tta and row.is_detector:
        unlike.append("`tta`, published without")
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
            beside.append(PublishedFigure(METRIC_TITLES[metric], here, published, difference))
    if not beside and not row.is_detector:
        unlike.append(f"published {'without' if tta else 'with'} `tta` alone")
    name = f"{row.name}, {row.pretrained}" + (", OpenMMLab" if row in OPENMMLAB else "")
    return Comparison(name, beside, unlike)


def _unlike_recipe(config: Path) -> list[str]:
    """Return how a config's model and classes differ from the recipe of the same name."""
    name = find_recipe(config.stem)
    if name is None:
        return [f"there is no recipe {config.stem} to compare with"]
    recipe = recipes()[name]
    if recipe.resolve() == config.resolve():
        return []
    try:
        changes = config_differences([_what_is_tested(config), _what_is_tested(recipe)])
    except Exception as error:  # the figures of a finished test must not be lost
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
        with contextlib.suppress(ValueError):  # only the caller knows the classes
            classes += build_without_annotations(cfg, key, dataset).metainfo["classes"]
    return Config(dict(classes=classes, model=_without_training(cfg.model)))


def _without_training(node: object) -> object:
    if isinstance(node, dict):
        return {k: _without_training(v) for k, v in node.items() if k not in _OF_TRAINING}
    if isinstance(node, list | tuple):
        return [_without_training(part) for part in node]
    return "BN" if node == "SyncBN" else node  # the two are the same in a test


def _short(text: str) -> str:
    if text == ABSENT:
        return "missing"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
