"""Compare an exported model with PyTorch, picture by picture."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from convnext_dense.export.graph import INPUT, Graph, Run
from convnext_dense_runtime.results import Detections, Segmentation

# What is still equal.
BOX = 1e-2  # pixels
SCORE = 1e-4
MASK = 0.999  # IoU
PIXELS = 0.9999  # share of a label map
# Most letters of a backend's error.
LONGEST = 200
# How often noise is added to a picture to see whether PyTorch's results hang on the last digits.
NOISES = 4
# Detections this near to the cut-off may be in one of the two results only, and this share of them.
MAY_CHANGE = 0.01


class DifferentError(RuntimeError):
    """An exported model does not compute what PyTorch computes."""


class UnstableError(DifferentError):
    """It does not, for a picture in which PyTorch does not find the same as itself either."""


@dataclass(frozen=True)
class Figures:
    """The comparison of an exported model with PyTorch.

    Attributes:
        pictures: How many were compared.
        found: Detections of PyTorch in them, or pixels of label maps.
        changed: Detections at the cut-off that only one of the two has.
        box: Largest difference of coordinates in pixels.
        score: Largest difference of scores.
        mask: Smallest IoU of masks.
        pixels: Smallest share of a label map that is equal.
    """

    pictures: int = 0
    found: int = 0
    changed: int = 0
    box: float = 0.0
    score: float = 0.0
    mask: float = 1.0
    pixels: float = 1.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.pictures + other.pictures,
            self.found + other.found,
            self.changed + other.changed,
            max(self.box, other.box),
            max(self.score, other.score),
            min(self.mask, other.mask),
            min(self.pixels, other.pixels),
        )

    def as_dict(self) -> dict[str, float]:
        """Return the figures by their names."""
        return asdict(self)


@dataclass(frozen=True)
class Picture:
    """A picture to compare results for.

    Attributes:
        name: For messages.
        values: (1, C, H, W) float32, the input of the graph.
    """

    name: str
    values: np.ndarray


def measure(graph: Graph, run: Run, pictures: Iterable[Picture], cut_off: float) -> Figures:
    """Compare the results of an exported model with those of PyTorch.

    Args:
        graph: What was exported.
        run: Runs the exported model: input in, outputs out.
        pictures: What to compare for.
        cut_off: The score below which there are no detections.

    Raises:
        DifferentError: If the results for a picture differ.
        UnstableError: If noise of the last digit in that picture changes PyTorch's own results too.
    """
    total = Figures()
    for picture in pictures:
        height, width = picture.values.shape[2:]
        wanted = graph.reference(torch.from_numpy(picture.values))
        try:
            outputs = graph.outputs_of(run, picture.values)
        except Exception as error:  # those of the backends have no class in common
            reason = " ".join(str(error).split())[:LONGEST]
            raise DifferentError(
                f"the exported model fails on {picture.name}, which PyTorch can run: {reason}"
            ) from error
        got = graph.read(outputs, (height, width))
        doubtful = functools.partial(graph.doubtful, outputs, (height, width), SCORE)
        try:
            total += compare_results(got, wanted, cut_off, len(outputs[0]), doubtful)
        except DifferentError as error:
            said = f"the exported model differs from PyTorch in {picture.name}: {error}"
            if is_unstable(graph, wanted, picture.values, cut_off, len(outputs[0])):
                raise UnstableError(
                    f"{said}. There PyTorch differs from itself too, with noise of the last digit"
                ) from None
            raise DifferentError(said) from None
    return total


def compare(graph: Graph, run: Run, pictures: Iterable[Picture], cut_off: float) -> Figures:
    """Compare as :func:`measure`, and judge all pictures together as :func:`judge`."""
    total = measure(graph, run, pictures, cut_off)
    judge(total)
    return total


def judge(total: Figures) -> None:
    """Refuse figures of all pictures that show nothing, or too many changes at the cut-off.

    Raises:
        DifferentError: If PyTorch found nothing, or too many detections are in one result alone.
    """
    if not total.found:
        raise DifferentError(
            "the model finds nothing in the pictures that it was compared for, so nothing is "
            "known of its export: give pictures of its objects as `verify`"
        )
    if total.changed > MAY_CHANGE * total.found:
        raise DifferentError(
            f"the exported model differs from PyTorch: {total.changed} of {total.found} detections "
            f"at the cut-off are not in both, more than {MAY_CHANGE:.0%}"
        )


def is_unstable(
    graph: Graph, wanted: Detections | Segmentation, values: np.ndarray, cut_off: float, most: int
) -> bool:
    """Whether PyTorch finds something else where noise of the last digit is added to a picture.

    Args:
        graph: What was exported.
        wanted: What PyTorch finds.
        values: (1, C, H, W) float32, the picture.
        cut_off: The score below which there are no detections.
        most: The number of detections that there can be.
    """
    rng = np.random.default_rng(0)
    digit = np.finfo(np.float32).eps
    for _ in range(NOISES):
        noisy = values * (1 + digit * rng.uniform(-1, 1, values.shape)).astype(np.float32)
        try:
            compare_results(graph.reference(torch.from_numpy(noisy)), wanted, cut_off, most)
        except DifferentError:
            return True
    return False


def compare_results(
    got: Detections | Segmentation,
    wanted: Detections | Segmentation,
    cut_off: float,
    most: int,
    doubtful: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Figures:
    """Compare as :func:`compare_detections` or :func:`compare_labels`."""
    if isinstance(wanted, Detections) and isinstance(got, Detections):
        return compare_detections(got, wanted, cut_off, most, doubtful)
    assert isinstance(wanted, Segmentation) and isinstance(got, Segmentation)
    return compare_labels(got, wanted)


def compare_detections(
    got: Detections,
    wanted: Detections,
    cut_off: float,
    most: int,
    doubtful: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Figures:
    """Pair detections one to one.

    Args:
        got: Of the exported model.
        wanted: Of PyTorch.
        cut_off: The score below which there are none.
        most: The number of detections that there can be; the worst of as many is a cut-off too.
        doubtful: Takes equally good boxes of ``got``, and returns the pixels of masks that may be
            on either side of the threshold, (N, H, W). Only asked where masks differ: a small mask
            has few pixels.

    Raises:
        DifferentError: If a detection away from the cut-off has no partner.
    """
    if len(wanted) >= most:
        cut_off = max(cut_off, float(wanted.scores.min()))
    pairs = pair(got, wanted)
    alone = [*np.delete(wanted.scores, [b for _, b in pairs])]
    alone_here = [*np.delete(got.scores, [a for a, _ in pairs])]
    far = [score for score in (*alone, *alone_here) if abs(score - cut_off) > SCORE]
    if far:
        raise DifferentError(
            f"{len(alone)} of {len(wanted)} detections have no counterpart within {BOX:g} px and "
            f"{SCORE:g} of the score, the best of score {max(far):.4f}"
        )
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    masks = _compare_masks(got, wanted, pairs, doubtful)
    return Figures(
        1,
        len(wanted),
        max(len(alone), len(alone_here)),
        float(np.abs(got.boxes[first] - wanted.boxes[second]).max(initial=0)),
        float(np.abs(got.scores[first] - wanted.scores[second]).max(initial=0)),
        masks,
    )


def pair(got: Detections, wanted: Detections) -> list[tuple[int, int]]:
    """Return pairs of detections that are equal within the limits, the nearest first."""
    boxes = np.abs(got.boxes[:, None] - wanted.boxes[None]).max(-1, initial=0)
    scores = np.abs(got.scores[:, None] - wanted.scores[None])
    equal = (boxes <= BOX) & (scores <= SCORE) & (got.labels[:, None] == wanted.labels[None])
    cost = np.where(equal, boxes + scores, np.inf)
    pairs: list[tuple[int, int]] = []
    taken_here, taken = set[int](), set[int]()
    for flat in cost.argsort(axis=None)[: int(equal.sum())]:
        a, b = divmod(int(flat), cost.shape[1])
        if a not in taken_here and b not in taken:
            pairs.append((a, b))
            taken_here.add(a)
            taken.add(b)
    return pairs


def _compare_masks(
    got: Detections,
    wanted: Detections,
    pairs: Sequence[tuple[int, int]],
    doubtful: Callable[[np.ndarray], np.ndarray] | None,
) -> float:
    if wanted.masks is None or got.masks is None or not pairs:
        return 1.0
    ious = [_iou(got.masks[a], wanted.masks[b]) for a, b in pairs]
    if min(ious) < MASK and doubtful:
        boxes = got.boxes.copy()
        for a, b in pairs:
            boxes[a] = wanted.boxes[b]
        either = doubtful(boxes)
        ious = [_iou(got.masks[a] & ~either[a], wanted.masks[b] & ~either[a]) for a, b in pairs]
    if min(ious) < MASK:
        raise DifferentError(f"a mask has an IoU of {min(ious):.4f}, below {MASK}")
    return min(ious)


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def compare_labels(got: Segmentation, wanted: Segmentation) -> Figures:
    """Compare two label maps.

    Raises:
        DifferentError: If too many pixels differ.
    """
    equal = float((got.labels == wanted.labels).mean())
    if equal < PIXELS:
        raise DifferentError(f"{equal:.4%} of the pixels are equal, less than {PIXELS:.2%}")
    return Figures(1, wanted.labels.size, pixels=equal)


def onnxruntime_of(path: Path) -> Run:
    """Return a function that runs an ONNX file in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be printed too
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {INPUT: values})
