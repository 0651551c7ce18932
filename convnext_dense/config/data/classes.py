"""Apply ``classes``: set names in the data sets, and their number in the heads."""

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
    named_class,
    reads_label_maps,
    transforms,
    type_name,
)


def parse_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Split and check class names.

    Args:
        classes: Names, or one string with commas; blanks around a name are removed.

    Raises:
        ValueError: If a name is empty or occurs twice.

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
    """Set the classes in every data set and their number in every head.

    A segmenter's data sets become ``BaseSegDataset``, since those of benchmarks refuse other
    classes. Label 0 keeps its meaning: it is unlabelled if the pipelines have
    ``reduce_zero_label``.

    Args:
        cfg: Changed in place.
        names: The classes.

    Raises:
        ValueError: If the data is panoptic, or the model has no head with classes.
    """
    found = all_datasets(cfg)
    if not found:
        raise ValueError("`classes`: the config has no data set")
    metainfo = dict(classes=names, palette=distinct_colours(len(names)))
    reduce_zero_label = any(node.get("reduce_zero_label") for _, node in transforms(cfg))
    for key, dataset in found:
        if "Panoptic" in type_name(dataset):
            raise ValueError(
                f"`classes`: {key} is a {type_name(dataset)}, and one list does not tell which "
                "classes are things and which stuff: set its metainfo in a config"
            )
        dataset.metainfo = dict(metainfo)
        if reads_label_maps(dataset):
            if len(names) < 2:
                raise ValueError(
                    f"`classes={names}`: a segmenter needs at least 2 classes: name the background "
                    "too, and write it in the label maps"
                )
            for name, ending in (("img_suffix", ".jpg"), ("seg_map_suffix", ".png")):
                dataset.setdefault(name, _default_of(cfg, dataset, name) or ending)
            dataset.type = "BaseSegDataset"
            dataset.reduce_zero_label = reduce_zero_label
    set_num_classes(cfg.model, len(names))


def _default_of(cfg: Config, dataset: ConfigDict, argument: str) -> object:
    """Return the default of an argument of a data set's class, or None if it is not known."""
    kind = named_class(DATASETS, dataset, cfg.get("default_scope"))
    for cls in getattr(kind, "__mro__", ()):
        parameter = inspect.signature(cls.__init__).parameters.get(argument)
        if parameter is not None:
            return parameter.default
    return None


def set_num_classes(model: ConfigDict, number: int) -> None:
    """Set the number of classes in all heads and losses for the data set's classes.

    The RPN, and auxiliary heads for other classes, keep their own numbers.

    Raises:
        ValueError: If there is no such head, or a loss has a weight for each old class.
    """
    classifying = classifying_heads(model)
    panoptic = [node for path, node in heads(model) if path.rpartition(".")[2] in PANOPTIC_HEADS]
    if any(node.get("num_stuff_classes") for node in panoptic):
        raise ValueError(
            "`classes`: the model has separate things and stuff: set their numbers in a config"
        )
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
                    f"`classes`: {path}.class_weight has a weight for each of the old {old} "
                    "classes: write a config with weights for yours"
                )
            # A further weight is for the background.
            node.class_weight = [weights[0]] * number + list(weights[old:])


def distinct_colours(number: int) -> list[tuple[int, int, int]]:
    """Return clearly different colours in RGB from 0 to 255, always the same for a number."""
    golden = 0.618034  # step of the hue, so that neighbours in the list differ clearly
    colours = [colorsys.hsv_to_rgb(index * golden % 1, 0.75, 0.95) for index in range(number)]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]
