"""The argument ``classes``: names for the data sets and their number for the heads."""

from __future__ import annotations

import colorsys
import inspect
from collections.abc import Sequence

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS

from convnext_dense.config_tree import (
    PANOPTIC_HEADS,
    all_datasets,
    classifying_heads,
    heads,
    reads_label_maps,
    transforms,
    type_name,
)


def parse_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Split and check class names.

    Args:
        classes: Names, or one string with commas; blanks around a name do not count.

    Raises:
        ValueError: Where a name is empty or occurs twice.

    Example:
        >>> parse_classes('cat, dog')
        ('cat', 'dog')
    """
    given = classes.split(",") if isinstance(classes, str) else classes
    names = tuple(name.strip() for name in given)
    if not names or "" in names:
        raise ValueError(f"`classes={classes!r}` has an empty name: give them as a,b,c")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`classes` names {', '.join(twice)} more than once")
    return names


def set_classes(cfg: Config, names: tuple[str, ...]) -> None:
    """Set these classes in every data set and their number in every head.

    A segmenter's data sets become ``BaseSegDataset``, since those of the benchmarks refuse other
    classes; label 0 stays what it was, unlabelled where the pipelines say ``reduce_zero_label``.

    Args:
        cfg: Changed in place.
        names: The classes.

    Raises:
        ValueError: Where the data is panoptic, or the model has no head for classes.
    """
    found = all_datasets(cfg)
    if not found:
        raise ValueError("`classes`: the config has no data set")
    metainfo = dict(classes=names, palette=distinct_colours(len(names)))
    reduce_zero_label = any(node.get("reduce_zero_label") for _, node in transforms(cfg))
    for key, dataset in found:
        if "Panoptic" in type_name(dataset):
            raise ValueError(
                f"`classes`: {key} is a {type_name(dataset)}, whose things and stuff one list "
                "cannot tell apart: set its metainfo in a config"
            )
        dataset.metainfo = dict(metainfo)
        if reads_label_maps(dataset):
            if len(names) < 2:
                raise ValueError(
                    f"`classes={names}`: a segmenter tells at least 2 classes apart: name the "
                    "background too, and let the label maps hold it"
                )
            for name, ending in (("img_suffix", ".jpg"), ("seg_map_suffix", ".png")):
                dataset.setdefault(name, _default_of(cfg, dataset, name) or ending)
            dataset.type = "BaseSegDataset"
            dataset.reduce_zero_label = reduce_zero_label
    set_num_classes(cfg.model, len(names))


def _default_of(cfg: Config, dataset: ConfigDict, argument: str) -> object:
    """Return what a data set's class takes for an argument, or None where it is not known."""
    kind = dataset.get("type")
    if isinstance(kind, str):
        scope = dataset.get("_scope_") or cfg.get("default_scope")
        with DATASETS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    for cls in getattr(kind, "__mro__", ()):
        parameter = inspect.signature(cls.__init__).parameters.get(argument)
        if parameter is not None:
            return parameter.default
    return None


def set_num_classes(model: ConfigDict, number: int) -> None:
    """Set the number of classes in all heads and losses of the data set's classes.

    What has a number of its own keeps it: the RPN, and auxiliary heads for other things.

    Raises:
        ValueError: Where there is no such head, or a loss weighs the old classes one by one.
    """
    classifying = classifying_heads(model)
    panoptic = [node for path, node in heads(model) if path.rpartition(".")[2] in PANOPTIC_HEADS]
    if any(node.get("num_stuff_classes") for node in panoptic):
        raise ValueError("`classes`: the model tells things and stuff apart: write a config for it")
    if classifying:
        old = classifying[-1][2]
    elif panoptic:
        old = panoptic[0].num_things_classes
    else:
        raise ValueError(f"`classes`: the model {model.get('type')} has no head with num_classes")
    for _, head, count in classifying:
        if count == old:
            head.num_classes = number
    for path, node in heads(model):
        for key in ("num_classes", "num_things_classes"):
            if node.get(key) == old:
                node[key] = number
        weights = node.get("class_weight")
        if isinstance(weights, (list, tuple)):
            if len(set(weights[:old])) > 1:
                raise ValueError(
                    f"`classes`: {path}.class_weight weighs the old {old} classes one by one: "
                    "write a config with weights for yours"
                )
            # A weight beyond the classes is the background's.
            node.class_weight = [weights[0]] * number + list(weights[old:])


def distinct_colours(number: int) -> list[tuple[int, int, int]]:
    """Return well separated colours, the same for the same number: RGB, 0 to 255."""
    golden = 0.618034  # of the circle of hues, so that neighbours in the list lie far apart
    colours = [colorsys.hsv_to_rgb(index * golden % 1, 0.75, 0.95) for index in range(number)]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]
