"""Run a trained model on pictures, through its test pipeline."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config, ConfigDict

from convnext_dense.config.checked_loading import check_channels, check_pictures, check_preprocessor
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import PREDICT, plan_run
from convnext_dense.config_tree import reads_label_maps, type_name
from convnext_dense.data.label_maps import check_number_of_classes
from convnext_dense.data.pipelines import model_channels
from convnext_dense.inference.model import build_model, choose_device, dataset_meta, test_dataset
from convnext_dense.limits import MOST_IMAGES
from convnext_dense.patches import enable
from convnext_dense_runtime.batches import (
    Image,
    ReadPicture,
    in_batches,
    results_of,
    run_batch,
    why_unreadable,
)
from convnext_dense_runtime.drawable import as_drawable
from convnext_dense_runtime.results import Detections, Prediction, Segmentation
from convnext_dense_runtime.threads import map_in_threads

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement

Transform = Callable[[dict], dict]
# Models that keep no state between forward passes, so that several passes may run at once.
# DDQ-DETR and the trackers keep some.
STATELESS = ("FasterRCNN", "MaskRCNN", "CascadeRCNN", "RetinaNet", "EncoderDecoder")
MOST_THREADS = 4
# What a layer raises for a size that it cannot handle.
_ERRORS_OF_SIZES = (AssertionError, RuntimeError, ValueError)


class Predictor:
    """Run a detector or segmenter of mmdet or mmseg on pictures.

    Threads decode the next pictures while the model works. A picture's result does not depend on
    the others in its batch: a batch holds only pictures that have the same size after the test
    pipeline.

    Args:
        config: A config, its path, or its name such as ``mmdet::...``. The config in the work
            directory of a training has the classes and sizes of that training.
        checkpoint: Path or URL of a whole model, or ``published`` or ``openmmlab``
            for the fine-tuned one of a recipe.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; None chooses CUDA if there is a GPU.
        batch_size: Most pictures in a forward pass.
        score: Leave out detections whose score is not above this. A two-stage detector does not
            compute their masks.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the config has no test pipeline, its data preprocessor or its classes do not
            fit the model's channels or a label map, or ``batch_size`` or ``score`` is out of range.
        RuntimeError: If the checkpoint is not of this model, or there is no such device.

    Example::

        predictor = Predictor("work_dirs/shapes/config.py", "work_dirs/shapes/epoch_36.pth")
        for result in predictor(["a.jpg", "b.jpg"]):
            print(result.boxes, result.scores, [result.classes[i] for i in result.labels])
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        batch_size: int = 1,
        score: float = 0.0,
    ) -> None:
        enable()
        if batch_size < 1:
            raise ValueError(f"`batch_size` is at least 1, got {batch_size}")
        if batch_size > MOST_IMAGES:
            raise ValueError(f"`batch_size` is at most {MOST_IMAGES}, got {batch_size}")
        if not 0 <= score < 1:
            raise ValueError(f"`score` is at least 0 and below 1, got {score}")
        config = plan_run(RunOptions(config), PREDICT).config
        self.batch_size = batch_size
        self.score = score
        self.device = choose_device(device)
        self.model, meta = build_model(config, str(checkpoint), self.device, score)
        self.meta = dataset_meta(config, meta)
        dataset = test_dataset(config)
        if reads_label_maps(dataset) or config.get("default_scope") == "mmseg":
            owner = f"the model of {checkpoint}"
            check_number_of_classes(self.classes, bool(self.meta["first_label"]), owner)
        self.channels = model_channels(config.model)
        check_preprocessor(config.model, self.channels)
        self._load, self._transform = make_pipeline(
            dataset.pipeline, config.get("default_scope"), self.channels
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return tuple(self.meta["classes"])

    def __call__(self, images: Image | Sequence[Image]) -> list[Detections | Segmentation]:
        """Return the results of pictures, in their order.

        Args:
            images: One or several paths, URLs or (H, W, C) arrays. An array is what the test
                pipeline's loader would return: uint8 in BGR order if it loads in colour, else with
                the model's channels and any values.

        Raises:
            ValueError: If a picture could not be read or run; the message names it.
        """
        return results_of(self.stream([images] if isinstance(images, Image) else images))

    def stream(self, images: Iterable[Image]) -> Generator[Prediction, None, None]:
        """Yield pictures with their results one by one, in their order.

        Only a few pictures are in memory at once, however many there are.

        Args:
            images: As for :meth:`__call__`, or an iterator of them.

        Yields:
            Every picture. If it could not be read or run, its result is :class:`Unreadable`.
        """
        decoders = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
        run = functools.partial(self._results, autocast=_same_autocast(self.device.type))
        forward = functools.partial(run_batch, run=run, errors=_ERRORS_OF_SIZES)
        with ThreadPoolExecutor(decoders) as decoding, self._forward_pool(images) as (models, many):
            decoded = map_in_threads(decoding, self._decode, images, self.batch_size + decoders)
            batches = in_batches(decoded, self.batch_size, ReadPicture.shares_batch)
            for batch in map_in_threads(models, forward, batches, many):
                yield from batch

    @contextlib.contextmanager
    def _forward_pool(self, images: Iterable[Image]) -> Iterator[tuple[ThreadPoolExecutor, int]]:
        """Yield threads for the forward passes, and their number.

        On a CPU the threads of one operator wait for each other, and more so in small operators:
        several pictures at once keep the cores busier than one at a time.
        """
        cores = torch.get_num_threads()
        at_once = self.device.type == "cpu" and type(self.model).__name__ in STATELESS
        batches = -(-len(images) // self.batch_size) if isinstance(images, Sequence) else cores
        many = min(cores, MOST_THREADS, max(1, batches)) if at_once else 1
        start = functools.partial(torch.set_num_threads, cores // many)
        try:
            with ThreadPoolExecutor(many, initializer=start) as pool:
                yield pool, many
        finally:
            torch.set_num_threads(cores)  # for threads that start later

    def _decode(self, image: Image) -> ReadPicture:
        try:
            if isinstance(image, np.ndarray):
                loaded = self._from_array(image)
            else:
                loaded = self._read(image)
            # Before the transforms, since some of them work in place.
            picture = as_drawable(loaded["img"])
            packed = self._transform(loaded)
            return ReadPicture(image, picture, packed, packed["inputs"].shape)
        except Exception as error:  # a decoder, a server or a transform may raise anything
            return ReadPicture(image, unreadable=why_unreadable(image, error))

    def _read(self, image: str | Path) -> dict:
        path = str(image)
        if "://" not in path and not Path(path).is_file():
            raise FileNotFoundError(f"there is no picture {path}")
        return self._load(dict(img_path=path))

    def _from_array(self, image: np.ndarray) -> dict:
        is_plain = getattr(self._load, "color_type", "unchanged").startswith("color")
        channels = image.shape[2] if image.ndim == 3 else 1 if image.ndim == 2 else None
        if is_plain and (image.dtype != np.uint8 or image.ndim != 3 or channels != self.channels):
            raise ValueError(
                f"an array is (H, W, {self.channels}) of uint8 in BGR order, got {image.dtype} of "
                f"shape {image.shape}"
            )
        if channels is None:
            raise ValueError(f"an array is (H, W, {self.channels}), got one of shape {image.shape}")
        if not image.size:
            raise ValueError(f"an array of shape {image.shape} has no pixel")
        shape = image.shape[:2]
        return dict(img=image, img_path=None, img_shape=shape, ori_shape=shape)

    def _results(
        self, batch: list[ReadPicture], autocast: Callable[[], torch.autocast]
    ) -> list[Detections | Segmentation]:
        inputs = {key: [one.input[key] for one in batch] for key in batch[0].input}
        with torch.inference_mode(), autocast():
            return [self._result(sample) for sample in self.model.test_step(inputs)]

    def _result(self, sample: BaseDataElement) -> Detections | Segmentation:
        if "pred_sem_seg" in sample:
            labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            return Segmentation(labels, self.classes, self.meta["first_label"])
        found = sample.pred_instances
        found = found[found.scores > self.score].cpu()
        masks = found.get("masks")
        return Detections(
            found.bboxes.float().numpy(),
            found.scores.float().numpy(),
            found.labels.numpy(),
            None if masks is None else masks.numpy().astype(bool, copy=False),
            self.classes,
        )


def _same_autocast(device_type: str) -> Callable[[], torch.autocast]:
    """Return a context manager's constructor that applies this thread's autocast in another.

    torch keeps the setting per thread: a thread of a pool would compute in float32.
    """
    return functools.partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=torch.is_autocast_cache_enabled(),
    )


def make_pipeline(
    steps: Sequence[ConfigDict], scope: str | None, channels: int
) -> tuple[Transform, Transform]:
    """Build a test pipeline in two parts: the transform that reads the picture, and the rest."""
    from mmcv.transforms import Compose
    from mmengine.registry import TRANSFORMS, DefaultScope

    steps = list(steps)
    check_channels(steps, channels)
    check_pictures(steps[0])
    kinds = [type_name(step) for step in steps]
    if not kinds[0].startswith("Load"):
        raise ValueError(
            f"the test pipeline begins with {kinds[0]}: it must begin with a transform that reads "
            "the picture, such as LoadImageFromFile"
        )
    rest = []
    for kind, step in zip(kinds[1:], steps[1:], strict=True):
        if kind in ("LoadAnnotations", "LoadLabelMap"):  # a run's config has the second
            continue
        if "meta_keys" in step:
            keys = tuple(key for key in step.meta_keys if key not in ("img_id", "seg_map_path"))
            step = ConfigDict(step, meta_keys=keys)
        rest.append(step)
    with DefaultScope.overwrite_default_scope(scope):
        return TRANSFORMS.build(steps[0]), Compose(rest)
