"""Check data before a run, so that errors are found at the start and not during training."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import (
    classifying_heads,
    datasets,
    named_class,
    reads_coco,
    reads_label_maps,
    type_name,
)
from convnext_dense.data.check_coco import check_coco
from convnext_dense.data.check_files import DATA_VARIABLE
from convnext_dense.data.check_label_maps import check_label_maps
from convnext_dense.data.pickles import refuse_untrusted_pickles
from convnext_dense.data.rules import Finding, Findings, read_lists
from convnext_dense.data.rules.findings import WARNING
from convnext_dense.data.split_dataset import SplitDataset

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset

# Data sets whose files are similar to COCO's, but name images or segments in another way.
_COCO_DIALECTS = ("LVIS", "CocoPanoptic")


def check_data(
    cfg: Config,
    splits: Sequence[str] = ("train", "val"),
    objects: Counter[str] | None = None,
) -> list[Finding]:
    """Check that the data of a config exists and fits the model.

    COCO files and folders of label maps are checked by the rules of
    :func:`~convnext_dense.data.audit.audit_data`, except the content of the pictures. Of other data
    sets, only the data root is checked.

    Args:
        cfg: A config of mmdet or mmseg.
        splits: Which of ``train``, ``val`` and ``test`` the run will use. Splits without a loader
            are skipped.
        objects: Gets the number of objects of each split with COCO files.

    Returns:
        The warnings.

    Raises:
        FileNotFoundError: If a folder or file is missing.
        ValueError: If annotations cannot be read, are empty or do not fit the config, or if data is
            in pickles.
    """
    refuse_untrusted_pickles(cfg)
    files: dict[str, dict] = {}

    def read(file: str, key: str) -> dict:
        """Read a COCO file once, however many data sets and loaders share it."""
        if file not in files:
            files[file] = read_lists(file, key)
        return files[file]

    warnings: list[Finding] = []

    for split in splits:
        for key, dataset in datasets(cfg, split):
            check_root(key, dataset)
            if not (reads_label_maps(dataset) or is_coco(dataset)):
                continue
            built = build_without_annotations(cfg, key, dataset)
            one = SplitDataset(cfg, split, key, dataset, built)
            check_heads(cfg.model, key, one.classes)
            if reads_label_maps(dataset):
                check_label_maps(one)
            else:
                findings = Findings(split)
                checked = check_coco(findings, one, read)
                findings.raise_first()
                warnings += findings.of_level(WARNING)
                counted = checked.count_objects(one.classes)
                if objects is not None and counted is not None:
                    objects[split] += counted
    return warnings


def is_coco(dataset: ConfigDict) -> bool:
    """Whether a data set reads one COCO file of objects, in COCO's own format."""
    return reads_coco(dataset) and not type_name(dataset).startswith(_COCO_DIALECTS)


def check_root(key: str, dataset: ConfigDict) -> None:
    """Refuse a data root that does not exist."""
    root = dataset.get("data_root")
    if root and not Path(root).is_dir():
        now = os.environ.get(DATA_VARIABLE)
        raise FileNotFoundError(
            f"data root {root} ({key}.data_root) does not exist: give the data set's folder by "
            f"`data_root`, or set {DATA_VARIABLE} to the folder that stands for data/"
            + (f" (it is {now})" if now else "")
        )


def build_without_annotations(cfg: Config, key: str, dataset: ConfigDict) -> BaseDataset:
    """Build a data set without reading its annotations, to get its full paths and its classes.

    Raises:
        ValueError: If its type or its classes are not known.
    """
    from mmengine.registry import DATASETS

    kind: Any = named_class(DATASETS, dataset, cfg.get("default_scope"))
    if kind is None:
        raise ValueError(f"{key}.type: there is no data set {dataset.type!r}: see custom_imports")
    classes = (dataset.get("metainfo") or {}).get("classes") or kind.METAINFO.get("classes")
    if not classes:
        raise ValueError(
            f"{key}: a {kind.__name__} has no classes of its own: name them, `classes=('a', 'b')`"
        )
    if isinstance(classes, str) and not Path(classes).is_file():
        raise ValueError(
            f"{key}.metainfo.classes is the string {classes!r}, neither a tuple nor a file: "
            f"write ({classes!r},)"
        )
    lazy = {name: value for name, value in dataset.items() if name not in ("type", "_scope_")}
    return kind(**{**lazy, "pipeline": [], "lazy_init": True})


def check_heads(model: ConfigDict, key: str, classes: Sequence[str]) -> None:
    """Refuse heads for another number of classes than the data set has.

    Open-vocabulary models are not checked, since their heads count the words of a text.
    """
    if "language_model" in model:
        return
    for path, head, count in classifying_heads(model):
        if count != len(classes) and not head.get("class_agnostic"):
            raise ValueError(
                f"{path}.num_classes is {count}, but the classes of {key} are "
                f"{len(classes)}: `classes` sets both"
            )
