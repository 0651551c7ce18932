"""Find the data sets, evaluators, transforms, backbone and heads in a config, at any depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mmengine.config import Config, ConfigDict

from convnext_dense.registry import class_of

if TYPE_CHECKING:
    from mmengine.registry import Registry

SPLITS = ("train", "val", "test")
PANOPTIC_HEADS = ("panoptic_head", "panoptic_fusion_head")
_CLASSIFYING_HEADS = {"bbox_head", "decode_head", "mask_head", "query_head"}
_MMDET_DEFAULT = 80
# Of the models with heads of transformers, where the head does not state them: those of the
# benchmarks, COCO and ADE20K.
NUM_CLASSES = {"TransformersDetector": 80, "TransformersSegmentor": 150}
_NO_HEADS = {"backbone", "neck", "rpn_head", "data_preprocessor", "train_cfg", "test_cfg"}


def walk(node: object, path: str = "") -> Iterator[tuple[str, ConfigDict]]:
    """Yield every dict at or below a node with its dotted path, the outer before the inner."""
    if isinstance(node, dict):
        yield path, node
        items = list(node.items())
    elif isinstance(node, (list, tuple)):
        items = list(enumerate(node))
    else:
        return
    for key, value in items:
        yield from walk(value, f"{path}.{key}" if path else str(key))


def custom_modules(cfg: Config | dict) -> list[str]:
    """Return the names of the modules that a config imports."""
    modules = (cfg.get("custom_imports") or {}).get("imports") or []
    return [modules] if isinstance(modules, str) else list(modules)


def value_at(node: object, key: str) -> object:
    """Return the value at a dotted key, or None if there is none."""
    for part in key.split("."):
        if isinstance(node, (list, tuple)):
            node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def type_name(node: ConfigDict) -> str:
    """Return the name of the class in a dict's ``type``, without scope or module."""
    kind = node.get("type", "")
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__


def datasets(cfg: Config, split: str) -> list[tuple[str, ConfigDict]]:
    """List the data sets that a loader reads, also those inside RepeatDataset or ConcatDataset.

    Args:
        cfg: A config of mmdet or mmseg.
        split: ``train``, ``val`` or ``test``.

    Returns:
        Pairs of the dotted key and the data set's dict; an empty list if there is no such loader.
    """
    loader = cfg.get(f"{split}_dataloader") or {}
    return list(_innermost(loader.get("dataset"), f"{split}_dataloader.dataset"))


def _innermost(node: object, path: str) -> Iterator[tuple[str, ConfigDict]]:
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _innermost(item, f"{path}.{index}")
    elif isinstance(node, dict):
        wrapped = [key for key in ("dataset", "datasets") if key in node]
        for key in wrapped:
            yield from _innermost(node[key], f"{path}.{key}")
        if not wrapped:
            yield path, node


def all_datasets(cfg: Config) -> list[tuple[str, ConfigDict]]:
    """List the data sets of all three loaders as :func:`datasets` does."""
    return [found for split in SPLITS for found in datasets(cfg, split)]


def reads_label_maps(dataset: ConfigDict) -> bool:
    """Whether a data set has a folder of images and one of label maps, as in mmseg."""
    return "seg_map_path" in (dataset.get("data_prefix") or {})


def reads_coco(dataset: ConfigDict) -> bool:
    """Whether a data set's annotations are one COCO file."""
    return str(dataset.get("ann_file", "")).endswith(".json")


def evaluators(cfg: Config, split: str) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the evaluators of ``val`` or ``test`` with their dotted keys."""
    return walk(cfg.get(f"{split}_evaluator"), f"{split}_evaluator")


def transforms(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield each transform of loaders, pipelines and hooks once, with its dotted key.

    Variables such as ``test_pipeline`` are included because mmseg's inference reads them.
    """
    seen = set()
    for key in list(cfg):
        if not key.endswith(("_dataloader", "_pipeline")) and key != "custom_hooks":
            continue
        for path, node in walk(cfg[key], key):
            if "type" in node and id(node) not in seen:
                seen.add(id(node))
                yield path, node


def is_segmenter(model: ConfigDict) -> bool:
    """Whether a model is a semantic segmenter, one of mmseg's or with a head of transformers."""
    return "decode_head" in model or type_name(model) == "TransformersSegmentor"


def backbone_owner(model: ConfigDict) -> tuple[str, ConfigDict] | None:
    """Find the dict that holds the backbone that is trained.

    Returns:
        The dotted key and the dict: the model, or the detector inside a tracker or a
        semi-supervised model. None if neither has a backbone.
    """
    for path, part in (("model", model), ("model.detector", model.get("detector"))):
        if isinstance(part, dict) and isinstance(part.get("backbone"), dict):
            return path, part
    return None


def find_backbone(model: ConfigDict) -> ConfigDict | None:
    """Return the backbone that is trained, see :func:`backbone_owner`; None if there is none."""
    owner = backbone_owner(model)
    return owner[1]["backbone"] if owner else None


def named_class(registry: Registry, node: ConfigDict, scope: str | None) -> Callable | None:
    """Return what the ``type`` of a dict names in a registry, or is; None if it is not known.

    Args:
        registry: Such as mmengine's ``DATASETS``.
        node: The dict. Its ``_scope_`` comes before the scope.
        scope: The config's default scope.
    """
    kind = node.get("type")
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(node.get("_scope_") or scope) as scoped:
            kind = scoped.get(kind)
    return None if kind is None else class_of(kind)


def heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Yield every dict of a model that may depend on the classes, such as heads and losses."""
    for path, node in walk(model, "model"):
        if not _NO_HEADS.intersection(path.split(".")):
            yield path, node


def classifying_heads(model: ConfigDict) -> list[tuple[str, ConfigDict, int]]:
    """List the heads, and parts of heads, that predict the data set's classes.

    Auxiliary heads of segmenters are left out, since some of them predict other classes.

    Returns:
        Triples of the dotted key, the head's dict and its number of classes, in the config's order.
        If a box head or RoI mask head of mmdet does not state the number, it is mmdet's default.
    """
    if type_name(model) in NUM_CLASSES:
        number = model.head.get("num_classes", NUM_CLASSES[type_name(model)])
        return [("model.head", model.head, number)]
    found = []
    for path, node in heads(model):
        parts = path.split(".")
        if not _CLASSIFYING_HEADS.intersection(parts):
            continue
        name = next(part for part in reversed(parts) if not part.isdigit())
        has_default = name == "bbox_head" or (name == "mask_head" and "roi_head" in parts)
        if "num_classes" in node:
            found.append((path, node, node.num_classes))
        elif "type" in node and has_default:
            found.append((path, node, _MMDET_DEFAULT))
    return found
