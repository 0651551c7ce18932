"""Count the iterations of an epoch on the run's data."""

from __future__ import annotations

import contextlib
import copy
import io
import math

from mmengine.config import Config
from mmengine.registry import DATASETS

from convnext_dense.config_tree import type_name, walk
from convnext_dense.data.check import check_data
from convnext_dense.data.pickles import refuse_untrusted_pickles
from convnext_dense.patches import enable
from convnext_dense.ranks import world_size

# The samplers of mmengine that draw each image once in an epoch.
_EACH_ONCE = ("DefaultSampler", "InfiniteSampler")


def count_images(cfg: Config) -> int:
    """Count the training images that an epoch has, as the run's data set does.

    Repeated and filtered images are counted as the data set counts them.

    Raises:
        FileNotFoundError: If data is missing.
        ValueError: If data cannot be read, or the sampler does not draw each image once.
    """
    _check_sampler(cfg)
    check_data(cfg, ("train",))
    return len(_build(cfg))


def iterations_per_epoch(cfg: Config, images: int) -> int:
    """Return the iterations that the processes of a run together need for so many images."""
    loader = cfg.train_dataloader
    batch = loader.get("batch_size", 1) * world_size(cfg.get("launcher", "none"))
    rounded = math.floor if loader.get("drop_last") else math.ceil
    return max(1, rounded(images / batch))


def iterations_if_there(cfg: Config) -> int | None:
    """Return the iterations of an epoch, or None if the data cannot be read or counted.

    Faults of the data are reported later, by the check of the run's data.
    """
    try:
        refuse_untrusted_pickles(cfg)
        _check_sampler(cfg)
        return iterations_per_epoch(cfg, len(_build(cfg)))
    except Exception:
        return None


def _check_sampler(cfg: Config) -> None:
    sampler = type_name(cfg.train_dataloader.get("sampler") or {})
    if sampler not in _EACH_ONCE:
        raise ValueError(
            f"train_dataloader.sampler is a {sampler}, whose epochs cannot be counted: give "
            "the length in iterations, `iters`"
        )


def _build(cfg: Config) -> list:
    """Build the training data set without its transforms."""
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    for _, node in walk(dataset):
        if "pipeline" in node:
            node["pipeline"] = []
    enable()
    scope = dataset.get("_scope_") or cfg.get("default_scope")
    with (
        contextlib.redirect_stdout(io.StringIO()),  # pycocotools prints what it does
        DATASETS.switch_scope_and_registry(scope) as registry,
    ):
        return registry.build(dataset)
