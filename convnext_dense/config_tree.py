"""Finding one's way in a config: data sets, evaluators, transforms and heads at any depth."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

SPLITS = ("train", "val", "test")
PANOPTIC_HEADS = ("panoptic_head", "panoptic_fusion_head")
_CLASSIFYING_HEADS = {"bbox_head", "decode_head", "mask_head", "query_head"}
_MMDET_DEFAULT = 80
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


def type_name(node: ConfigDict) -> str:
    """Return the class that a dict names, without its scope or module."""
    kind = node.get("type", "")
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__


def datasets(cfg: Config, split: str) -> list[tuple[str, ConfigDict]]:
    """List the data sets that a loader reads, inside RepeatDataset, ConcatDataset and the like.

    Args:
        cfg: A config of mmdet or mmseg.
        split: ``train``, ``val`` or ``test``.

    Returns:
        Pairs of the dotted key and the data set's dict; none where there is no such loader.
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
    """Return whether a data set is a folder of images and one of label maps, as mmseg has them."""
    return "seg_map_path" in (dataset.get("data_prefix") or {})


def reads_coco(dataset: ConfigDict) -> bool:
    """Return whether a data set's annotations are one COCO file."""
    return str(dataset.get("ann_file", "")).endswith(".json")


def evaluators(cfg: Config, split: str) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the evaluators of ``val`` or ``test``, one or several."""
    return walk(cfg.get(f"{split}_evaluator"), f"{split}_evaluator")


def transforms(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield every transform, each once: loaders, TTA, hooks that switch pipelines, variables.

    The variables (``test_pipeline`` and so on) count because mmseg's inference reads them.
    """
    seen = set()
    for key in list(cfg):
        if not key.endswith(("_dataloader", "_pipeline")) and key != "custom_hooks":
            continue
        for path, node in walk(cfg[key], key):
            if "type" in node and id(node) not in seen:
                seen.add(id(node))
                yield path, node


def backbone_owner(model: ConfigDict) -> tuple[str, ConfigDict] | None:
    """Find the dict that holds the backbone which trains.

    Returns:
        The dotted key and the dict: the model, or the detector inside a tracker or a
        semi-supervised model. None where neither has a backbone.
    """
    for path, part in (("model", model), ("model.detector", model.get("detector"))):
        if isinstance(part, dict) and isinstance(part.get("backbone"), dict):
            return path, part
    return None


def heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Yield every dict of a model that can depend on the classes: heads, their losses, fusion."""
    for path, node in walk(model, "model"):
        if not _NO_HEADS.intersection(path.split(".")):
            yield path, node


def classifying_heads(model: ConfigDict) -> list[tuple[str, ConfigDict, int]]:
    """List the heads, and parts of them, that count the data set's classes, in the config's order.

    Segmenters' auxiliary heads are not among them: some tell other things apart.

    Returns:
        Triples of the dotted key, the head's dict and its number of classes, which mmdet's box
        heads and RoI mask heads may leave to their default.
    """
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
