"""Limit the images of a run, for a trial."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, METRICS, Registry

from convnext_dense.config.shared_parts import custom_hooks
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets, evaluators, named_class

# Restricts the truth of the metrics to the images that are left; see convnext_dense.evaluation.
HOOK = "LimitedTruthHook"
# Metrics of mmdet that evaluate the images that their attribute `img_ids` lists.
_RESTRICTABLE = {"CocoMetric", "LVISMetric"}


def set_limit(plan: Plan) -> Plan:
    """Use only the first ``limit`` images of each split that the run loads.

    mmengine takes them after it has left out images, such as those without objects. Several data
    sets of a split share the number. A metric that reads its truth from a file evaluates only the
    same images.

    Raises:
        ValueError: If there is no data set or one of videos, or a metric evaluates all images of
            its file.
    """
    limit = plan.options.limit
    if limit is None:
        return plan
    cfg = plan.copy_config()
    splits = [split for split in plan.splits if datasets(cfg, split)]
    if not splits:
        raise ValueError("`limit`: the config has no data set")
    for split in splits:
        found = datasets(cfg, split)
        for number, (key, dataset) in enumerate(found):
            if "BaseVideoDataset" in _classes(cfg, DATASETS, dataset):
                raise ValueError(f"`limit`: {key} is a {dataset.type}, which lists videos")
            share = limit // len(found) + (number < limit % len(found))
            dataset.indices = _first(max(share, 1), dataset.get("indices"))
    with_files = [found for split in splits for found in _with_file(cfg, split)]
    for key, evaluator in with_files:
        _require_restrictable(cfg, key, evaluator)
    if with_files:
        cfg.custom_hooks = [*custom_hooks(cfg, without=[HOOK]), dict(type=HOOK)]
    several = any(len(datasets(cfg, split)) > 1 for split in splits)
    shared = ", shared among their data sets" if several else ""
    return plan.changed(
        cfg,
        f"`limit={limit}`: a trial on at most {limit} images of {' and of '.join(splits)}{shared}: "
        "its figures are those of these images alone",
    )


def _first(number: int, indices: int | list[int] | None) -> int | list[int]:
    """Return the indices of the first images, of those that the config has chosen already."""
    if isinstance(indices, (list, tuple)):
        return list(indices[:number])
    return number if indices is None else min(number, indices)


def _with_file(cfg: Config, split: str) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the metrics of a split that read their truth from a file."""
    return ((key, node) for key, node in evaluators(cfg, split) if node.get("ann_file"))


def _classes(cfg: Config, registry: Registry, node: ConfigDict) -> set[str]:
    """Return the names of the class that a dict is for, and of its bases; empty if unknown."""
    kind = named_class(registry, node, cfg.get("default_scope"))
    return {base.__name__ for base in getattr(kind, "__mro__", ())}


def _require_restrictable(cfg: Config, key: str, evaluator: ConfigDict) -> None:
    names = _classes(cfg, METRICS, evaluator)
    # mmdet's panoptic metric evaluates image by image, unless it keeps its results.
    is_panoptic = "CocoPanopticMetric" in names and not evaluator.get("outfile_prefix")
    if not (names & _RESTRICTABLE or is_panoptic):
        raise ValueError(
            f"`limit`: {key} is a {evaluator.type}, which evaluates every image of "
            f"{evaluator.ann_file}: name a file with fewer images instead"
        )
