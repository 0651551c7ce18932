"""Run an exported model on pictures."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from convnext_dense_runtime.batches import (
    Image,
    ReadPicture,
    in_batches,
    results_of,
    run_batch,
    why_unreadable,
)
from convnext_dense_runtime.drawable import as_drawable
from convnext_dense_runtime.label_maps import label_map, slide
from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.networks import open_network
from convnext_dense_runtime.objects import Sizes, find_objects
from convnext_dense_runtime.pictures import decode_picture, read_picture
from convnext_dense_runtime.prepare import prepare_picture
from convnext_dense_runtime.resize import resized_shape
from convnext_dense_runtime.results import Detections, Prediction, Segmentation
from convnext_dense_runtime.threads import map_in_threads

MOST_BATCH = 4096
MOST_THREADS = 4


class Model:
    """Run a detector or segmenter that ``convnext-dense export`` wrote.

    It finds what :class:`convnext_dense.Predictor` finds with the same model, and needs no torch.

    Args:
        file: An ``.onnx`` file, or an ``.xml`` file of OpenVINO.
        device: ``cpu``, ``cuda``, ``cuda:1``, or with OpenVINO one of its own, such as ``gpu``;
            None chooses CUDA or OpenVINO if ONNX Runtime has them, else the CPU.
        batch_size: Most pictures, or windows of a picture, in one run of the graph. A graph for one
            picture gets one at a time.
        score: Leave out detections whose score is not above this.
        providers: ONNX Runtime's execution providers instead of ``device``, in the order of
            preference; also ``cpu``, ``cuda``, ``tensorrt`` and ``openvino`` for short.
        backend: ``onnxruntime`` or ``openvino``; None takes the one of the file's suffix.
        threads: Threads of the CPU in the network; None takes all cores.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, not ours or of a newer format, or an argument makes no
            sense.
        ImportError: If the backend is not installed.
        RuntimeError: If a device or provider is not there.

    Example::

        model = Model("model.onnx")
        for result in model(["a.jpg", "b.jpg"]):
            print(result.boxes, result.scores, [result.classes[i] for i in result.labels])
    """

    def __init__(
        self,
        file: str | Path,
        device: str | None = None,
        batch_size: int = 1,
        score: float = 0.0,
        *,
        providers: Sequence[str] | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        if type(batch_size) is not int or not 1 <= batch_size <= MOST_BATCH:
            raise ValueError(f"`batch_size` is from 1 to {MOST_BATCH}, got {batch_size!r}")
        if not 0 <= score < 1:
            raise ValueError(f"`score` is at least 0 and below 1, got {score}")
        path = Path(file)
        self._network = open_network(path, device, providers, backend, threads)
        self.metadata = self._network.metadata
        _check_graph(self._network.shape, self._network.outputs, self.metadata, path)
        self.batch_size = batch_size if self._network.shape[0] is None else 1
        self.score = score

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.metadata.classes

    @property
    def runs_on(self) -> str:
        """What runs the network, such as ``ONNX Runtime 1.31.1, CPUExecutionProvider``."""
        return self._network.runs_on

    def __call__(self, images: Image | Sequence[Image]) -> list[Detections | Segmentation]:
        """Return the results of pictures, in their order.

        Args:
            images: One or several paths or (H, W, C) arrays. An array is uint8 in BGR order if the
                model takes colour, else it has the model's channels and any values.

        Raises:
            ValueError: If a picture could not be read or run; the message names it.
        """
        return results_of(self.stream([images] if isinstance(images, Image) else images))

    def stream(self, images: Iterable[Image]) -> Generator[Prediction, None, None]:
        """Yield pictures with their results one by one, in their order.

        Threads read the next pictures while the network works. Only a few pictures are in memory
        at once, however many there are.

        Args:
            images: As for :meth:`__call__`, or an iterator of them.

        Yields:
            Every picture. If it could not be read or run, its result is :class:`Unreadable`.
        """
        readers = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
        with ThreadPoolExecutor(readers, thread_name_prefix="read") as pool:
            prepared = map_in_threads(pool, self._prepare, images, self.batch_size + readers)
            for batch in in_batches(prepared, self.batch_size, ReadPicture.shares_batch):
                yield from run_batch(batch, self._results)

    def read(self, path: str | Path) -> np.ndarray:
        """Return the pixels of a file; a subclass may read in another way.

        Returns:
            (H, W, C) in BGR order, or with the model's channels.
        """
        return read_picture(path, self.metadata.color_type)

    def decode(self, content: bytes, name: str = "the picture") -> np.ndarray:
        """Return the pixels of a file whose bytes are in memory, such as an upload.

        Args:
            content: The bytes.
            name: For messages.

        Raises:
            ValueError: If they are no picture, or one of too many pixels.
        """
        return decode_picture(content, name, self.metadata.color_type)

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """Return the network's input (C, H, W) for a picture: see :func:`prepare_picture`."""
        return prepare_picture(picture, self.metadata)

    def _prepare(self, image: Image) -> ReadPicture:
        try:
            pixels = image if isinstance(image, np.ndarray) else self.read(image)
            values = self.prepare(pixels)
        except ImportError:
            raise
        except Exception as error:  # a decoder may raise anything
            return ReadPicture(image, unreadable=why_unreadable(image, error))
        return ReadPicture(image, as_drawable(pixels), values, values.shape)

    def _results(self, batch: list[ReadPicture]) -> Sequence[Detections | Segmentation]:
        facts = self.metadata
        images = np.stack([one.input for one in batch])
        shapes = [one.picture.shape[:2] for one in batch if one.picture is not None]
        if facts.task == "segmentation":
            if facts.sliding:
                windows, most = facts.sliding, self.batch_size
                logits = np.stack([slide(self._logits, one, windows, most) for one in images])
            else:
                logits = self._logits(images)
            return [self._segmentation(*pair) for pair in zip(logits, shapes, strict=True)]
        outputs = self._network(images)
        whole = images.shape[2], images.shape[3]
        return [
            find_objects(
                _of_picture(outputs, number),
                facts,
                Sizes(shape, resized_shape(shape, facts.resize), whole),
                self.score,
            )
            for number, shape in enumerate(shapes)
        ]

    def _segmentation(self, logits: np.ndarray, shape: tuple[int, int]) -> Segmentation:
        height, width = resized_shape(shape, self.metadata.resize)
        labels = label_map(logits[:, :height, :width], shape, self.metadata)
        return Segmentation(labels, self.classes, self.metadata.first_label)

    def _logits(self, images: np.ndarray) -> np.ndarray:
        logits = self._network(images)["logits"]
        wanted = (len(images), images.shape[2:])
        classes = len(self.classes)
        if (len(logits), logits.shape[2:]) != wanted or logits.shape[1] not in (1, classes):
            raise ValueError(
                f"the graph returned logits {logits.shape} for {classes} classes and an input "
                f"{images.shape}: export the model again"
            )
        return logits


def _of_picture(outputs: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Return the outputs of one picture; a graph for one picture does not number them."""
    is_batch = outputs["scores"].ndim == 2
    return {name: values[number] if is_batch else values for name, values in outputs.items()}


def _check_graph(
    shape: tuple[int | None, ...], outputs: Sequence[str], facts: Metadata, path: Path
) -> None:
    """Refuse metadata that does not fit the graph."""
    wanted = ["logits"] if facts.task == "segmentation" else ["boxes", "scores", "labels"]
    wanted += ["masks"] if facts.masks else []
    missing = [name for name in wanted if name not in outputs]
    lie = ""
    if missing:
        lie = f"the graph has no output {missing[0]!r}, but {', '.join(outputs)}"
    elif shape[1] is not None and shape[1] != len(facts.channels):
        lie = f"the graph takes {shape[1]} channels, not {len(facts.channels)}"
    elif shape[0] not in (None, 1):
        lie = f"the graph takes {shape[0]} pictures at a time, not 1 or any number"
    if lie:
        raise ValueError(f"{path}: its metadata lies: {lie}: export the model again")
