"""Compare a run's predictions in validation images with the truth; predict if there are none."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict

from convnext_dense.config.data.paths import set_data_root
from convnext_dense.config_tree import datasets, reads_coco, reads_label_maps, type_name
from convnext_dense.data.pickles import refuse_untrusted_pickles
from convnext_dense.data.rules.field_kinds import Id
from convnext_dense.inference import Predictor
from convnext_dense.report.detection import DetectionTask
from convnext_dense.report.run import Run
from convnext_dense.report.segmentation import SegmentationTask
from convnext_dense.report.task import Outcome, Task
from convnext_dense.upstream.registered_only import refuse_code, registered_only
from convnext_dense_runtime.results import Unreadable

# A picture in the page: pixels of its longer side, and the quality of the JPEG.
SIDE, QUALITY = 640, 80
Key = TypeVar("Key")
_TRUST = "where you trust its author, `trust=True` runs it"


@dataclass(frozen=True)
class ReportOptions:
    """How to report about a run.

    Attributes:
        images: Most validation images to predict.
        predict: Whether to predict if there are no saved predictions.
        device: For predicting: ``cpu``, ``cuda``, ...; None chooses CUDA if there is a GPU.
        data_root: The data set's folder, if it is not the config's.
        trust: Whether to run the config and import the modules it names, which can run any code.
            Otherwise the config is read as plain data, and only classes of the OpenMMLab stack are
            built.
        shown: Pictures in each of the groups best, worst and random.
    """

    images: int = 100
    predict: bool = True
    device: str | None = None
    data_root: str | None = None
    trust: bool = False
    shown: int = 4


@dataclass(frozen=True)
class Example:
    """A validation picture.

    Attributes:
        name: The name of its file.
        score: Its score; the outcome's ``measure`` explains it.
        truth: The picture with the truth drawn into it, as a data URI.
        prediction: The picture with the predictions drawn into it, as a data URI.
    """

    name: str
    score: float
    truth: str
    prediction: str


@dataclass(frozen=True)
class Validation:
    """Predictions in validation images, compared with the truth.

    Attributes:
        source: Where the predictions come from, in a few words.
        images: The number of images that were compared.
        of: The number of all images.
        classes: Their names.
        colours: RGB, one per class.
        outcome: How well predictions and truth agree.
        groups: ``best``, ``worst`` and ``random`` pictures.
        notes: Sentences about what was left out.
    """

    source: str
    images: int
    of: int
    classes: tuple[str, ...]
    colours: list[tuple[int, int, int]]
    outcome: Outcome
    groups: dict[str, list[Example]]
    notes: list[str] = field(default_factory=list)


def validate(run: Run, options: ReportOptions, progress: Callable[[int, int], None]) -> Validation:
    """Compare a run's predictions with the truth of its validation images.

    If a test saved predictions of all images in the work directory, these are used. Otherwise the
    best checkpoint predicts some of the images, evenly spaced.

    Args:
        run: The run.
        options: How to compare.
        progress: Called with the number of predicted images, and their final number.

    Raises:
        FileNotFoundError: If there is no checkpoint, or the data is missing.
        ValueError: If the config has no validation data that can be compared, or predictions do
            not fit the data.
        RuntimeError: If the checkpoint does not fit the config, or there is nothing to predict.
    """
    if run.config_file is None:
        raise FileNotFoundError("there is no config with the model and the data")
    if options.trust:
        return _validate(Config.fromfile(run.config_file), run, options, progress)
    if run.config is None:
        raise ValueError(f"the config is not plain data; {_TRUST}")
    cfg = copy.deepcopy(run.config)
    cfg.pop("trust_pickles", None)  # who wrote that is not the user
    try:
        refuse_untrusted_pickles(cfg)
        refuse_code(cfg)
    except ValueError as error:
        raise ValueError(f"the config is not trusted: {error}; {_TRUST}") from error
    with registered_only(cfg):
        return _validate(cfg, run, options, progress)


def _validate(
    cfg: Config, run: Run, options: ReportOptions, progress: Callable[[int, int], None]
) -> Validation:
    if options.data_root:
        set_data_root(cfg, options.data_root)
    task = build_task(cfg)
    notes: list[str] = []
    found: Mapping[Id, Any]
    try:
        kept = task.find_kept(run.folder, _named(run))
    except ValueError as error:
        kept = None
        notes.append(f"kept predictions are left out: {error}")
    if kept:
        place, found = kept
        source = f"{place.relative_to(run.folder)}, kept by a test"
        tested = run.tested and Path(str(run.tested.about.get("checkpoint", ""))).name
        if tested and run.checkpoint and tested != run.checkpoint.name:
            notes.append(f"these are predictions of {tested}, not of {run.checkpoint.name}")
    else:
        if not options.predict:
            why = notes[0] if notes else "no predictions were kept"
            raise RuntimeError(f"`predict=False`: {why}, and none are made")
        if run.checkpoint is None:
            raise FileNotFoundError(f"there is no checkpoint in {run.folder} yet")
        source = f"predicted with {run.checkpoint.name}"
        found = _predict(cfg, run.checkpoint, task, options, notes, progress)
    outcome = task.compare(found)
    chosen = choose_pictures(outcome.scores, options.shown)
    examples = {
        key: _example(task, key, found[key], outcome.scores[key])
        for key in {key: None for keys in chosen.values() for key in keys}
    }
    groups = {title: [examples[key] for key in keys] for title, keys in chosen.items()}
    return Validation(
        source, len(found), len(task.paths), task.classes, task.colours, outcome, groups, notes
    )


def _named(run: Run) -> set[str]:
    """Return the names of the last test's files of predictions, if ``metrics.json`` has them."""
    places = run.tested.about.get("predictions") if run.tested else None
    return {Path(str(place)).name for place in places} if isinstance(places, list) else set()


def build_task(cfg: Config) -> Task:
    """Read the validation data of a config.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If there is none in COCO's or ADE20K's layout.
    """
    found = [place for split in ("val", "test") for place in datasets(cfg, split)]
    for key, dataset in found:
        if reads_label_maps(dataset):
            return SegmentationTask(cfg, key, dataset)
        if reads_coco(dataset):
            return DetectionTask(cfg, key, dataset)
    kinds = ", ".join(type_name(dataset) for _, dataset in found) or "none"
    raise ValueError(
        f"only data in COCO's or ADE20K's layout can be compared; the config has {kinds}"
    )


def choose_pictures(scores: Mapping[Id, float], number: int) -> dict[str, list[Id]]:
    """Choose pictures by their scores.

    Returns:
        ``best`` and ``worst``, which have no picture in common, and ``random``, which is the same
        in every run that has the same pictures.
    """
    falling = sorted(scores, key=lambda key: scores[key], reverse=True)
    number = min(number, len(falling))
    best = min(number, -(-len(falling) // 2))
    worst = min(number, len(falling) - best)
    drawn = np.random.default_rng(0).permutation(len(scores))[:number]
    keys = list(scores)
    return {
        "best": falling[:best],
        "worst": falling[::-1][:worst],
        "random": [keys[index] for index in sorted(drawn)],
    }


def pick_evenly(keys: Sequence[Key], number: int) -> list[Key]:
    """Choose some of the keys, evenly spaced.

    Example:
        >>> pick_evenly("abcdefg", 3)
        ['a', 'd', 'g']
    """
    places = np.linspace(0, len(keys) - 1, min(number, len(keys))).round().astype(int)
    return [keys[place] for place in places]


def _predict(
    cfg: Config,
    checkpoint: Path,
    task: Task,
    options: ReportOptions,
    notes: list[str],
    progress: Callable[[int, int], None],
) -> dict[Id, Any]:
    if not cfg.get("test_dataloader"):  # the predictor uses its pipeline
        cfg.test_dataloader = ConfigDict(cfg.val_dataloader)
    keys = pick_evenly(list(task.paths), options.images)
    predictor = Predictor(cfg, checkpoint, options.device)
    found = {}
    seen = predictor.stream([str(task.paths[key]) for key in keys])
    for done, (key, one) in enumerate(zip(keys, seen, strict=True), start=1):
        if isinstance(one.result, Unreadable):
            notes.append(f"left out: {one.result.reason}")
        else:
            found[key] = task.as_kept(key, one.result)
        progress(done, len(keys))
    if not found:
        raise RuntimeError(f"no validation image could be used: {notes[0]}")
    return found


def _example(task: Task, key: Id, found: object, score: float) -> Example:
    path = task.paths[key]
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path} cannot be decoded as a picture, or does not exist")
    truth, prediction = (data_uri(drawn) for drawn in task.draw(picture, key, found))
    return Example(path.name, score, truth, prediction)


def data_uri(picture: np.ndarray) -> str:
    """Return a picture as text for a page: a JPEG of at most :data:`SIDE` pixels.

    Args:
        picture: (H, W, 3) uint8, BGR.
    """
    scale = min(1.0, SIDE / max(picture.shape[:2]))
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
