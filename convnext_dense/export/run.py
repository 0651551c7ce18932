"""Export a trained model: plan, refuse, trace, verify, write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import PREDICT, plan_run
from convnext_dense.export.describe import describe
from convnext_dense.export.families import refuse
from convnext_dense.export.graph import Graph, make_graph
from convnext_dense.export.onnx_file import save_model, write_onnx
from convnext_dense.export.pictures import generate, generated, prepared, traced_size
from convnext_dense.export.verify import (
    DifferentError,
    Figures,
    NothingFoundError,
    Picture,
    compare,
    onnxruntime_of,
)
from convnext_dense.files import ensure_writable
from convnext_dense.inference.model import build_model
from convnext_dense.limits import MOST_PIXELS
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
    tell("load the model")
    model, meta = build_model(cfg, str(checkpoint), torch.device("cpu"), score=0.0)
    metadata = describe(cfg, model, str(checkpoint), meta, size)
    _check_size(size, metadata.smallest)
    graph = make_graph(model)
    image = torch.from_numpy(generate(traced_size(metadata), len(metadata.channels), seed=0))
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / f"model{ONNX}"
        tell("trace it")
        try:
            write_onnx(graph, traced, image, fixed=size is not None)
        except ValueError as error:
            raise ValueError(f"{metadata.model} cannot be exported: {error}") from error
        tell("compare it with PyTorch")
        given = list(prepared(cfg, verify, metadata))
        try:
            figures = _compare(graph, traced, metadata, given)
        except NothingFoundError:
            raise
        except DifferentError as error:
            raise DifferentError(f"{metadata.model}: {error}") from None
        metadata = dataclasses.replace(metadata, verification=figures.as_dict())
        save_model(traced, out, metadata)
    return metadata


def _compare(graph: Graph, path: Path, metadata: Metadata, given: list[Picture]) -> Figures:
    """Compare a graph with PyTorch, for other generated pictures where nothing is found in some."""
    run = onnxruntime_of(path)
    for trial in range(TRIALS):
        pictures = [*generated(metadata, seed=100 * trial), *given]
        with contextlib.suppress(NothingFoundError):
            return compare(graph, run, pictures, metadata.score)
    raise NothingFoundError


def _check_size(size: tuple[int, int] | None, smallest: tuple[int, int]) -> None:
    if size is None:
        return
    fits = all(least <= side <= MOST_PIXELS for side, least in zip(size, smallest, strict=True))
    if not fits:
        raise ValueError(
            f"`size={size}` is outside of what the model can take: height and width of at least "
            f"{smallest[0]} x {smallest[1]} and at most {MOST_PIXELS}"
        )
