"""Draw samples after augmentation, as the network gets them, into one picture."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict

from convnext_dense.config.checked_loading import use_checked_loading
from convnext_dense.config_tree import datasets, type_name
from convnext_dense.data.batches import check_batch_size, is_endless
from convnext_dense_runtime.drawable import as_drawable

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset
    from mmengine.model import BaseDataPreprocessor
    from mmengine.structures import BaseDataElement

    from convnext_dense.inference.drawing import Drawer

# In pixels: a sample's longer side, the gap between samples, a line of text, a legend's entry.
CELL, _GAP, _LINE, _LEGEND_WIDTH = 512, 8, 18, 150
_TITLE_LINES, _TITLE_SIZE = 2, 8  # the size in points
_DPI = 100
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class Sample:
    """The network's input for one image, and its truth.

    Attributes:
        file: The image; in a mosaic the first one.
        picture: (H, W, 3) uint8, BGR: the input without normalisation.
        size: (width, height) of the image in it; the rest is padding.
        boxes: (N, 4) float32: x1, y1, x2, y2; None for a segmenter.
        labels: (N,) int64 of the boxes, or (H, W) of the pixels.
        masks: (N, H, W) bool, or None.
        ignored: (N,) bool: crowds, which are not trained on; None for a segmenter.
    """

    file: str
    picture: np.ndarray
    size: tuple[int, int]
    boxes: np.ndarray | None
    labels: np.ndarray
    masks: np.ndarray | None = None
    ignored: np.ndarray | None = None


def draw_samples(
    cfg: Config, number: int, split: str = "train", seed: int = 0
) -> tuple[bytes, int]:
    """Draw samples with their truth into one grid.

    Args:
        cfg: A config of mmdet or mmseg.
        number: The number of samples, at least 1; fewer if the data set has fewer.
        split: ``train`` or ``val``.
        seed: The seed of the choice and the augmentation, from 0 to 2**32 - 1.

    Returns:
        A PNG, and the number of samples in it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a number is out of range, or the data does not fit the config.
    """
    from mmengine.registry import DATASETS

    from convnext_dense.data.check import check_data

    if number < 1:
        raise ValueError(f"`number` is at least 1, got {number}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` is from 0 to 2**32 - 1, got {seed}")
    if not datasets(cfg, split):
        raise ValueError(f"the config has no {split}_dataloader to show")
    check_data(cfg, (split,))
    with DATASETS.switch_scope_and_registry(cfg.get("default_scope")):
        loader = _build_loader(cfg, split, seed)
        dataset: BaseDataset = loader.dataset
        number = min(number, len(dataset))
        samples = list(islice(_samples(cfg, loader, training=split == "train"), number))
    if not samples:
        raise ValueError(f"the {split}_dataloader has no batch: see its batch_size and drop_last")
    return draw_grid(samples, dataset.metainfo), len(samples)


def _build_loader(cfg: Config, split: str, seed: int) -> torch.utils.data.DataLoader:
    """Build a loader as a run would, but shuffled and without workers."""
    from mmengine.runner import Runner, set_random_seed

    cfg = copy.deepcopy(cfg)
    config = cfg[f"{split}_dataloader"]
    for name in ("prefetch_factor", "persistent_workers", "pin_memory"):
        config.pop(name, None)
    config.num_workers = 0
    if type_name(config.sampler) in ("DefaultSampler", "InfiniteSampler"):
        config.sampler.shuffle = True  # not the first images alone, in validation too
    if split != "train":
        for _, dataset in datasets({f"{split}_dataloader": config}, split):
            dataset.pipeline = load_truth_first(dataset.get("pipeline", []))
    use_checked_loading(cfg)
    set_random_seed(seed)
    loader = Runner.build_dataloader(config, seed=seed)
    if is_endless(loader):  # without this, filling a huge batch would take very long
        check_batch_size(f"{split}_dataloader", loader)
    return loader


def load_truth_first(pipeline: Sequence[ConfigDict]) -> list[ConfigDict]:
    """Move the loading of the truth before the resizing, so that the truth is resized too.

    In validation pipelines it comes last, since predictions are scaled to the image's own size.
    """
    kinds = [type_name(transform) for transform in pipeline]
    if "LoadImageFromFile" not in kinds or "LoadAnnotations" not in kinds:
        return list(pipeline)
    pipeline = list(pipeline)
    truth = pipeline.pop(kinds.index("LoadAnnotations"))
    pipeline.insert(kinds.index("LoadImageFromFile") + 1, truth)
    return pipeline


def _samples(cfg: Config, loader: torch.utils.data.DataLoader, training: bool) -> Iterator[Sample]:
    """Yield samples batch by batch; an endless loader yields endlessly."""
    from mmengine.logging import MessageHub
    from mmengine.registry import MODELS

    preprocessor = cfg.model.get("data_preprocessor") or cfg.get("data_preprocessor")
    if preprocessor is None:
        raise ValueError("the model has no data_preprocessor: its input is not known")
    preprocessor = MODELS.build(preprocessor)
    # A preprocessor that changes the input's size every few iterations needs the iteration.
    MessageHub.get_current_instance().update_info("iter", 0)
    for batch in loader:
        data = preprocessor(batch, training=training)
        for tensor, sample in zip(data["inputs"], data["data_samples"], strict=True):
            yield _sample(tensor, sample, preprocessor)


def _sample(
    tensor: torch.Tensor, data: BaseDataElement, preprocessor: BaseDataPreprocessor
) -> Sample:
    picture = undo_normalisation(tensor, preprocessor)
    height, width = data.metainfo.get("img_shape", picture.shape)[:2]
    file, size = data.metainfo.get("img_path", ""), (width, height)
    if "gt_instances" not in data:
        labels = data.gt_sem_seg.data[0].numpy() if "gt_sem_seg" in data else np.zeros((0, 0))
        return Sample(file, picture, size, None, labels)
    parts = [data.gt_instances]
    if len(data.get("ignored_instances", ())):
        parts.append(data.ignored_instances)
    boxes = [getattr(part.bboxes, "tensor", part.bboxes).reshape(-1, 4) for part in parts]
    masks = None
    if all("masks" in part for part in parts):
        fitted = [_fit(part.masks.to_ndarray(), picture.shape[:2]) for part in parts]
        masks = np.concatenate(fitted).astype(bool)
    return Sample(
        file,
        picture,
        size,
        torch.cat(boxes).float().numpy(),
        torch.cat([part.labels for part in parts]).numpy(),
        masks,
        np.repeat([False, True][: len(parts)], [len(part) for part in parts]),
    )


def undo_normalisation(tensor: torch.Tensor, preprocessor: BaseDataPreprocessor) -> np.ndarray:
    """Convert a network's input back to a picture.

    Args:
        tensor: (C, H, W), from a data preprocessor of mmengine, mmdet or mmseg.
        preprocessor: The preprocessor.

    Returns:
        (H, W, 3) uint8, BGR; of pictures with other channels see
        :func:`~convnext_dense_runtime.drawable.as_drawable`.
    """
    if getattr(preprocessor, "_enable_normalize", False):
        tensor = tensor * preprocessor.std + preprocessor.mean
    picture = tensor.detach().cpu().float().permute(1, 2, 0).numpy()
    # Images are loaded as BGR; this switch has another name in mmengine than in mmseg.
    names = ("_channel_conversion", "channel_conversion")
    if picture.shape[2] == 3 and any(getattr(preprocessor, name, False) for name in names):
        picture = picture[..., ::-1]
    return as_drawable(picture)


def _fit(masks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pad masks to the input's size, if the preprocessor has not done so."""
    height, width = (min(a, b) for a, b in zip(masks.shape[1:], shape, strict=True))
    fitted = np.zeros((len(masks), *shape), masks.dtype)
    fitted[:, :height, :width] = masks[:, :height, :width]
    return fitted


def draw_grid(samples: Sequence[Sample], metainfo: dict) -> bytes:
    """Draw samples into one PNG, each with its file's name and sizes.

    Args:
        samples: At least one.
        metainfo: The data set's, with ``classes`` and perhaps ``palette``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from mmdet.visualization.palette import get_palette

    from convnext_dense.inference.drawing import Drawer

    classes = tuple(metainfo["classes"])
    palette = [tuple(c) for c in get_palette(list(metainfo.get("palette") or []), len(classes))]
    ignored = tuple(f"{name}, ignored" for name in classes)
    drawer = Drawer(
        classes + ignored, palette + [_GREY] * len(classes), labels="name", legend=False
    )
    drawn = [draw_truth(sample, classes + ignored, drawer) for sample in samples]
    places, width, height = lay_out([picture.shape[:2] for picture in drawn])
    legend = []
    if samples[0].boxes is None:
        present = np.unique(np.concatenate([sample.labels.ravel() for sample in samples]))
        legend = [
            Patch(color=np.divide(palette[i], 255), label=classes[i])
            for i in present
            if i < len(classes)
        ]
        legend.append(Patch(color="black", label="left out"))
    columns = max(1, width // _LEGEND_WIDTH)
    if legend:
        height += _LINE * (math.ceil(len(legend) / columns) + 1)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    for sample, picture, (left, top) in zip(samples, drawn, places, strict=True):
        # One pixel of the picture is one pixel of the grid.
        shape = picture.shape[1] / width, picture.shape[0] / height
        ax = figure.add_axes((left / width, 1 - top / height - shape[1], *shape))
        ax.imshow(picture[..., ::-1], aspect="auto", interpolation="nearest")
        ax.axis("off")
        ax.set_title(_title(sample), fontsize=_TITLE_SIZE, pad=_GAP / 2)
    if legend:
        figure.legend(
            handles=legend, loc="lower center", ncols=columns, fontsize=_TITLE_SIZE, frameon=False
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def lay_out(shapes: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], int, int]:
    """Place pictures below their titles, in a grid of about as many rows as columns.

    Args:
        shapes: (height, width) in pixels.

    Returns:
        (left, top) of each picture, and the grid's width and height.
    """
    columns = math.ceil(math.sqrt(len(shapes)))
    pitch = max(width for _, width in shapes) + _GAP
    places, top = [], 0
    for start in range(0, len(shapes), columns):
        row = shapes[start : start + columns]
        top += _GAP + _TITLE_LINES * _LINE
        places += [
            (_GAP + i * pitch + (pitch - _GAP - width) // 2, top)
            for i, (_, width) in enumerate(row)
        ]
        top += max(height for height, _ in row)
    return places, columns * pitch + _GAP, top + _GAP


def draw_truth(sample: Sample, classes: tuple[str, ...], drawer: Drawer) -> np.ndarray:
    """Draw a sample's truth into its picture, scaled to the size of a cell.

    Args:
        sample: The sample.
        classes: The names of the classes, then the names for ignored objects of each class.
        drawer: A :class:`~convnext_dense.inference.drawing.Drawer` for these classes.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    from convnext_dense_runtime.results import Detections, Segmentation

    height, width = sample.picture.shape[:2]
    scale = CELL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(sample.picture, size, interpolation=smooth)

    def resized(labels: np.ndarray) -> np.ndarray:
        return cv2.resize(labels.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)

    if sample.boxes is None:
        if not sample.labels.size:
            return picture
        return drawer(picture, Segmentation(resized(sample.labels), classes))
    masks = sample.masks
    if masks is not None and len(masks):
        masks = np.stack([resized(mask) for mask in masks]).astype(bool)
    assert sample.ignored is not None
    labels = sample.labels + sample.ignored * (len(classes) // 2)
    scores = np.ones(len(labels), np.float32)
    factors = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    return drawer(picture, Detections(sample.boxes * factors, scores, labels, masks, classes))


def _title(sample: Sample) -> str:
    height, width = sample.picture.shape[:2]
    title = f"{Path(sample.file).name}\n{sample.size[0]} x {sample.size[1]}"
    if sample.size != (width, height):
        title += f" in {width} x {height}"
    return title
