"""Draw results into their pictures, by the visualizers of mmdet and mmseg."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from mmdet.visualization import DetLocalVisualizer
from mmdet.visualization.palette import get_palette
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from convnext_dense_runtime.results import Detections, Segmentation

# Lengths of a picture's longer side in pixels: a smaller picture than the first is enlarged, so
# that text fits; in a larger one than the second, lines and text grow with it.
SMALLEST, LARGEST = 480, 900
LINE_WIDTH = 2
# A label's size in points, and the width of a letter relative to that.
TEXT_SIZE, LETTER = 8, 0.65
MASK_ALPHA, LABEL_ALPHA = 0.5, 0.6
# The legend's font size in points in a picture 600 pixels high, and its dots per inch.
FONT_SIZE, DPI = 10, 100


class Drawer:
    """Draw detections and segmentations. Only one thread at a time may use it.

    Args:
        classes: Names of the classes.
        palette: RGB colours from 0 to 255, one per class; None chooses distinct ones.
        labels: The text at an object: ``score`` for its class and score, ``name`` for its class
            only, ``none`` for no text.
        legend: Whether a segmentation has a legend at its right.
    """

    def __init__(
        self,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None = None,
        *,
        labels: Literal["score", "name", "none"] = "score",
        legend: bool = True,
    ) -> None:
        self._scores, self._legend = labels == "score", legend
        colours = get_palette(list(palette) if palette else None, len(classes))
        self._palette = [tuple(int(part) for part in colour) for colour in colours]
        meta = dict(classes=tuple(classes), palette=self._palette)
        self._detections = _DetectionVisualizer(alpha=MASK_ALPHA)
        self._detections.dataset_meta = meta
        self._detections.has_texts = labels != "none"
        # Not by the constructor, since mmseg 1.2.2 swaps these two arguments there.
        self._labels = SegLocalVisualizer(alpha=LABEL_ALPHA)
        self._labels.set_dataset_meta(**meta)

    def __call__(self, picture: np.ndarray, result: Detections | Segmentation) -> np.ndarray:
        """Draw a result into its picture.

        Args:
            picture: (H, W, 3) uint8, BGR.
            result: What was found in it.

        Returns:
            (H', W', 3) uint8, BGR. A small picture is enlarged.
        """
        rgb = np.ascontiguousarray(picture[..., ::-1])
        scale = max(1.0, SMALLEST / max(rgb.shape[:2]))
        rgb = _enlarge(rgb, scale, cv2.INTER_CUBIC)
        if isinstance(result, Detections):
            return self._draw_detections(rgb, scale, result)[..., ::-1]
        return self._draw_labels(rgb, scale, result)[..., ::-1]

    def _draw_detections(self, rgb: np.ndarray, scale: float, found: Detections) -> np.ndarray:
        # A box that ends a fraction of a pixel outside would shift the whole drawing.
        boxes = np.clip(
            found.boxes * np.float32(scale), 0, np.array(rgb.shape[1::-1] * 2, np.float32)
        )
        instances = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(found.labels),
        )
        if self._scores:
            instances.scores = torch.from_numpy(found.scores)
        if found.masks is not None and len(found):
            masks = [
                _enlarge(mask.astype(np.uint8), scale, cv2.INTER_NEAREST) for mask in found.masks
            ]
            instances.masks = np.stack(masks).astype(bool)
        return self._detections.draw(rgb, instances)

    def _draw_labels(self, rgb: np.ndarray, scale: float, found: Segmentation) -> np.ndarray:
        labels = _enlarge(found.labels, scale, cv2.INTER_NEAREST)
        data = torch.from_numpy(labels.astype(np.int64))[None]
        sample = SegDataSample(pred_sem_seg=PixelData(data=data))
        self._labels.add_datasample("", rgb, sample, draw_gt=False, with_labels=False)
        drawn = self._labels.get_image()
        if not self._legend:
            return drawn
        counts = np.bincount(found.labels.ravel(), minlength=len(found.classes))
        present = [i for i in counts.argsort()[::-1] if counts[i]]
        texts = [f"{found.classes[i]}  {counts[i] / found.labels.size:.1%}" for i in present]
        legend = draw_legend(texts, [self._palette[i] for i in present], drawn.shape[0])
        return np.hstack([drawn, legend])


class _DetectionVisualizer(DetLocalVisualizer):
    """mmdet's visualizer, with lines and text that grow with the picture."""

    has_texts = True

    def draw(self, rgb: np.ndarray, instances: InstanceData) -> np.ndarray:
        """Return a picture with objects drawn into it."""
        self._factor = max(1.0, max(rgb.shape[:2]) / LARGEST)
        self.line_width = LINE_WIDTH * self._factor
        # add_datasample would render the result a second time, for its backends.
        meta = self.dataset_meta
        return self._draw_instances(rgb, instances, meta["classes"], meta["palette"])

    def draw_texts(
        self, texts: str, positions: torch.Tensor, font_sizes: int, **kwargs: object
    ) -> DetLocalVisualizer:
        """Draw a label inside the picture, large enough to be read."""
        if not self.has_texts:
            return self
        size = TEXT_SIZE * self._factor
        width = LETTER * size * self.dpi / 72 * len(texts)
        left = positions.clone()
        left[0] = left[0].clamp(max=max(0.0, self.width - width))
        return super().draw_texts(texts, left, font_sizes=size, **kwargs)


def draw_legend(
    texts: Sequence[str], colours: Sequence[tuple[int, int, int]], height: int
) -> np.ndarray:
    """Draw a legend of colours, in as many columns as its height makes necessary.

    Args:
        texts: One per colour.
        colours: RGB from 0 to 255.
        height: Pixels.

    Returns:
        (height, W, 3) uint8, RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    size = FONT_SIZE * max(1.0, height / 600)
    rows = max(1, int(height / DPI * 72 / (size * 1.7)))
    handles = [Patch(facecolor=(r / 255, g / 255, b / 255), edgecolor="0.3") for r, g, b in colours]
    figure = Figure(figsize=(1, height / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    legend = figure.legend(
        handles, texts, loc="center", ncols=-(-len(texts) // rows), fontsize=size, frameon=False
    )
    width = legend.get_window_extent(canvas.get_renderer()).width
    figure.set_size_inches(width / DPI, height / DPI)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba")
    columns = len(buffer.getvalue()) // (4 * height)
    drawn = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, columns, 4)
    return np.ascontiguousarray(drawn[..., :3])


def _enlarge(image: np.ndarray, scale: float, interpolation: int) -> np.ndarray:
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=interpolation)
