"""Export a trained model: plan, refuse, trace, verify, write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import PREDICT, plan_run
from convnext_dense.export.describe import describe
from convnext_dense.export.families import refuse
from convnext_dense.export.graph import Graph, make_graph
from convnext_dense.export.onnx_file import NotExportableError, save_model, write_onnx
from convnext_dense.export.pictures import generate, generated, prepared, traced_size
from convnext_dense.export.verify import (
    DifferentError,
    Figures,
    Picture,
    judge,
    measure,
    onnxruntime_of,
)
from convnext_dense.files import ensure_writable
from convnext_dense.inference.model import build_model
from convnext_dense.patches import enable

if TYPE_CHECKING:
    from mmengine.config import Config

    from convnext_dense_runtime.metadata import Metadata

ONNX = ".onnx"
# How often other pictures are generated where a model finds nothing in them.
TRIALS = 4


def export(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] | None = None,
    verify: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Metadata:
    """Write a trained model as one ONNX file, verified against PyTorch.

    Normalisation, padding, decoding of boxes, suppression, RoI heads and masks are in the file,
    which needs only the standard operators of ONNX.

    Args:
        config: A config, its path, or its name such as ``mmdet::...``.
        checkpoint: Path or URL of a whole model, or ``published`` or ``openmmlab``.
        out: The file, which ends in ``.onnx``.
        size: (height, width) of the input if it shall be fixed.
        verify: Pictures to compare with, beside three generated ones.
        tell: Called with a line on each step.

    Returns:
        What the file says about itself, with the figures of the verification.

    Raises:
        FileNotFoundError: If there is no such config, checkpoint or picture.
        ValueError: If the model has a part that cannot be exported, or an argument makes no sense.
        RuntimeError: If the checkpoint is not of this model, or the exported model does not compute
            what PyTorch computes. No file is left then, and an earlier one stays.
        OSError: If the file could not be written.
    """
    enable()
    out = Path(out)
    if out.suffix != ONNX:
        raise ValueError(f"`out={str(out)!r}` does not end in {ONNX}")
    ensure_writable(out)
    cfg = plan_run(RunOptions(config), PREDICT).config
    refuse(cfg)
    tell("loading the model")
    model, meta = build_model(cfg, str(checkpoint), torch.device("cpu"), score=0.0)
    metadata = describe(cfg, model, str(checkpoint), meta, size)
    graph = make_graph(model)
    image = torch.from_numpy(generate(traced_size(metadata), len(metadata.channels), seed=0))
    with tempfile.TemporaryDirectory() as folder, _named(metadata.model):
        traced = Path(folder) / f"model{ONNX}"
        tell("tracing it")
        write_onnx(graph, traced, image, fixed=size is not None)
        tell("comparing it with PyTorch")
        figures = _compare(graph, traced, metadata, prepared(cfg, verify, metadata))
        metadata = dataclasses.replace(metadata, verification=figures.as_dict())
        save_model(traced, out, metadata)
    return metadata


@contextlib.contextmanager
def _named(model: str) -> Iterator[None]:
    """Put the types of a model before what is wrong with its export."""
    try:
        yield
    except (NotExportableError, DifferentError) as error:
        raise type(error)(f"{model}: {error}") from error.__cause__


def _compare(graph: Graph, path: Path, metadata: Metadata, given: Iterable[Picture]) -> Figures:
    """Compare a graph with PyTorch, for other generated pictures where nothing is found in some."""
    run = onnxruntime_of(path)
    figures = Figures()
    for trial in range(TRIALS):
        pictures = generated(metadata, seed=100 * trial)
        figures = measure(graph, run, pictures, metadata.score)
        if figures.found:
            break
    figures += measure(graph, run, given, metadata.score)
    judge(figures)
    return figures
