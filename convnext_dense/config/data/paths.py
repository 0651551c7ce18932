"""Apply ``data_root``, ``ann_train``, ``ann_val`` and the variable CONVNEXT_DENSE_DATA."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import (
    all_datasets,
    datasets,
    evaluators,
    reads_coco,
    reads_label_maps,
    type_name,
    walk,
)
from convnext_dense.data.check_files import DATA_VARIABLE, IMAGE_SUFFIXES
from convnext_dense.data.formats.advice import conversion_advice
from convnext_dense.data.rules import Findings, check_records, read_lists
from convnext_dense.data.rules.field_kinds import is_id, is_text

# Folders of images by the folders of their label maps.
_IMAGE_FOLDERS = {
    "annotations": "images",
    "ann_dir": "img_dir",
    "labels": "images",
    "masks": "images",
}


def set_data_root(cfg: Config, data_root: str) -> None:
    """Replace the data root of every data set, and of the evaluators' files in it.

    Args:
        cfg: Changed in place.
        data_root: The new folder; ``~`` is the home.

    Raises:
        ValueError: If the config has no data root, or has several different ones.
    """
    roots = {key: Path(dataset.get("data_root") or "") for key, dataset in all_datasets(cfg)}
    if not roots or Path() in roots.values():
        lacking = next((key for key, root in roots.items() if root == Path()), "the config")
        raise ValueError(f"`data_root`: {lacking} has no data_root to replace")
    if len(set(roots.values())) > 1:
        listed = ", ".join(f"{key}.data_root={root}" for key, root in roots.items())
        raise ValueError(f"`data_root`: one folder cannot replace several: {listed}")
    _move_roots(cfg, lambda _: str(Path(data_root).expanduser()))


def apply_data_variable(cfg: Config, environ: Mapping[str, str] = os.environ) -> Config:
    """Replace the leading ``data/`` of every data root by the variable CONVNEXT_DENSE_DATA.

    With ``CONVNEXT_DENSE_DATA=/sets``, ``data/coco/`` becomes ``/sets/coco`` and
    ``data/ade/ADEChallengeData2016`` becomes ``/sets/ade/ADEChallengeData2016``. If there is no
    such folder, ``/sets`` is the data set itself. Other data roots are not changed.

    Args:
        cfg: Any config. It is not changed.
        environ: Variables of the environment.

    Returns:
        A new config.
    """
    cfg = copy.deepcopy(cfg)
    if not environ.get(DATA_VARIABLE):
        return cfg
    base = Path(environ[DATA_VARIABLE]).expanduser()

    def moved(root: str) -> str:
        first, *rest = Path(root).parts
        if first != "data":
            return root
        return str(base.joinpath(*rest) if base.joinpath(*rest).is_dir() else base)

    _move_roots(cfg, moved)
    return cfg


def _move_roots(cfg: Config, moved: Callable[[str], str]) -> None:
    """Replace each data root by ``moved(root)``, also at the beginning of other paths."""
    rooted = [
        dataset for _, dataset in all_datasets(cfg) if Path(dataset.get("data_root") or "").parts
    ]
    roots = {dataset.data_root for dataset in rooted}
    # Several data sets can have the same root, but an evaluator's path must change only once.
    for split in ("val", "test"):
        for _, node in evaluators(cfg, split):
            _rebase(node, roots, moved)
    for dataset in rooted:
        for _, node in walk(dataset):
            _rebase(node, roots, moved)
        dataset.data_root = moved(dataset.data_root)
    if cfg.get("data_root") in roots:
        cfg.data_root = moved(cfg.data_root)


def _rebase(node: ConfigDict, roots: set[str], moved: Callable[[str], str]) -> None:
    """Change the paths in a dict that begin with one of the data roots."""
    for key, value in node.items():
        root = isinstance(value, str) and next(
            (root for root in roots if Path(root) in Path(value).parents), None
        )
        if root:
            node[key] = str(Path(moved(root), Path(value).relative_to(root)))


def set_annotations(cfg: Config, name: str, annotations: str) -> None:
    """Set other annotations, and find the folder of their images.

    Args:
        cfg: Changed in place: the training loader, or both other loaders and their evaluators.
        name: ``ann_train`` or ``ann_val``.
        annotations: A COCO file, or for a segmenter a folder of label maps; absolute or relative
            to the data root.

    Raises:
        FileNotFoundError: If the annotations or their images do not exist.
        ValueError: If a loader reads several data sets, or a data set of another layout.
    """
    splits = {"ann_train": ("train",), "ann_val": ("val", "test")}[name]
    found = [(split, *place) for split in splits for place in datasets(cfg, split)]
    if not found:
        raise ValueError(f"`{name}`: the config has no {splits[0]}_dataloader")
    for split in splits:
        keys = [key for where, key, _ in found if where == split]
        if len(keys) > 1:
            raise ValueError(
                f"`{name}`: one file cannot serve several data sets: {', '.join(keys)}"
            )
    image_folders: dict[tuple[str, ...], str] = {}
    for split, key, dataset in found:
        root = dataset.get("data_root") or ""
        place = str(Path(root, annotations))
        if not Path(place).exists():
            wanted = "label-maps" if reads_label_maps(dataset) else "coco"
            if advice := conversion_advice(root, wanted):
                raise FileNotFoundError(f"`{name}={annotations!r}`: there is no {place}; {advice}")
            raise FileNotFoundError(
                f"`{name}={annotations!r}`: there is no {place}; give the path absolute "
                f"or relative to the data root {root}"
            )
        if reads_label_maps(dataset):
            dataset.data_prefix = dict(
                img_path=_image_folder_of_maps(name, annotations), seg_map_path=annotations
            )
            dataset.pop("ann_file", None)
        elif reads_coco(dataset) and not _reads_semantic_maps(dataset):
            prefix = dataset.get("data_prefix", {}).get("img", "")
            known = (place, prefix, root)
            if known not in image_folders:  # val and test usually share one large file
                image_folders[known] = _image_folder_of_coco(name, *known)
            dataset.ann_file = annotations
            dataset.data_prefix = dict(img=image_folders[known])
        else:
            raise ValueError(
                f"`{name}`: {key} is a {type_name(dataset)}, which reads neither only COCO's "
                "annotations nor a folder of label maps"
            )
        if split != "train":
            for _, evaluator in evaluators(cfg, split):
                if evaluator.get("ann_file"):
                    evaluator.ann_file = place


def _image_folder_of_maps(name: str, annotations: str) -> str:
    """Return the folder of images that belongs to a folder of label maps."""
    parts = list(Path(annotations).parts)
    for index in reversed(range(len(parts))):
        if parts[index] in _IMAGE_FOLDERS:
            parts[index] = _IMAGE_FOLDERS[parts[index]]
            return str(Path(*parts))
    pairs = ", ".join(f"{maps}/ with {images}/" for maps, images in _IMAGE_FOLDERS.items())
    raise ValueError(
        f"`{name}={annotations!r}`: its images cannot be found by name; known names are {pairs}, "
        "such as annotations/training with images/training"
    )


def _reads_semantic_maps(dataset: ConfigDict) -> bool:
    """Whether a data set's pipeline reads the ``seg`` prefix, which it may only have inherited."""
    return "seg" in dataset.get("data_prefix", {}) and any(
        node.get("with_seg") or type_name(node) == "LoadPanopticAnnotations"
        for _, node in walk(dataset.get("pipeline"))
    )


def _image_folder_of_coco(name: str, file: str, configured: str, root: str) -> str:
    """Find the folder, as a path below the data root, in which a COCO file's images lie."""
    image = first_annotated_image(name, file)
    split = Path(file).stem.rpartition("_")[2]  # instances_train -> train
    tried = [
        configured,
        f"{split}/",
        "",
        "images/",
        f"images/{split}/",
        f"{split}2017/",
        f"{os.path.relpath(Path(file).parent, root or '.')}/",
    ]
    for folder in tried:
        if Path(root, folder, image).is_file():
            return folder
    folders = ", ".join(dict.fromkeys(str(Path(root, folder)) for folder in tried))
    raise FileNotFoundError(
        f"`{name}`: image {image} of {file} is in none of {folders}: put the images into one of "
        "these folders, or make file_name the path relative to the data root"
    )


def first_annotated_image(name: str, file: str) -> str:
    """Return the ``file_name`` of the first image in a COCO file that has an annotation.

    Invalid records are skipped: the check before the run reports them.

    Raises:
        ValueError: If the file is not in COCO's format or has no annotation.
    """
    try:
        content = read_lists(file, f"`{name}`")
    except OSError as error:
        raise ValueError(f"`{name}`: {file} could not be read: {error.strerror}") from error
    if not content["images"]:
        raise ValueError(f"annotation file {file} lists no images: `{name}` names another")
    names = {
        image["id"]: image["file_name"]
        for image in content["images"]
        if isinstance(image, dict) and is_id(image.get("id")) and is_text(image.get("file_name"))
    }
    for annotation in content["annotations"]:
        image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
        if is_id(image_id) and image_id in names:
            return names[image_id]
    findings = Findings("", file)
    check_records(findings, content, evaluated=False)
    findings.raise_first()
    raise ValueError(f"`{name}`: {file} has no annotations")


def match_suffixes(cfg: Config) -> None:
    """Set the file suffixes of every ``BaseSegDataset`` to those in its folders.

    Args:
        cfg: Changed in place, unless a folder is missing or has files with the stated suffix.
    """
    for _, dataset in all_datasets(cfg):
        if type_name(dataset) != "BaseSegDataset" or not reads_label_maps(dataset):
            continue
        for prefix, key in (("img_path", "img_suffix"), ("seg_map_path", "seg_map_suffix")):
            folder = Path(dataset.get("data_root") or "", dataset.data_prefix.get(prefix) or "")
            if not folder.is_dir():
                continue
            names = sorted(entry.name for entry in os.scandir(folder))
            pictures = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
            configured = dataset.get(key) or {"img_suffix": ".jpg", "seg_map_suffix": ".png"}[key]
            if pictures and not any(name.endswith(configured) for name in pictures):
                dataset[key] = Path(pictures[0]).suffix
