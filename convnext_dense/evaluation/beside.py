"""The figures of the checkpoint that an exported model was made from, where they are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convnext_dense.checkpoints.origin import identifying_name
from convnext_dense.evaluation.figures import METRICS_FILE
from convnext_dense_runtime import is_model_file, read_metadata

# The key of ``metrics.json`` that keeps them, since a test of the export replaces the file.
KEY = "exported_from"


@dataclass(frozen=True)
class CheckpointTest:
    """The figures of a checkpoint's test.

    Attributes:
        checkpoint: Its path, URL or name.
        metrics: Its figures by name.
    """

    checkpoint: str
    metrics: Mapping[str, float]


def figures_of_checkpoint(model: str, work_dir: str, images: int) -> CheckpointTest | None:
    """Return the figures of the checkpoint that a model was exported from.

    An earlier test left them in the work directory, or beside the exported file.

    Args:
        model: The exported file.
        work_dir: The work directory of this test.
        images: The number of images that were tested.

    Returns:
        None if there was no such test, or it was on another number of images.
    """
    source = read_metadata(model).source
    for folder in dict.fromkeys((Path(work_dir), Path(model).parent)):
        content = _read(folder / METRICS_FILE)
        if is_model_file(str(content.get("checkpoint"))):
            content = {**content, **_mapping(content.get(KEY))}
        checkpoint, metrics = content.get("checkpoint"), _mapping(content.get("metrics"))
        if (
            isinstance(checkpoint, str)
            and identifying_name(checkpoint) in source
            and content.get("images") == images
            and not content.get("tta")
            and all(isinstance(value, int | float) for value in metrics.values())
        ):
            return CheckpointTest(checkpoint, metrics)
    return None


def _read(file: Path) -> dict:
    try:
        return _mapping(json.loads(file.read_text()))
    except (OSError, ValueError, RecursionError):  # none, or not ours
        return {}


def _mapping(value: object) -> dict:
    return value if isinstance(value, dict) else {}
