"""Export a trained model: plan, refuse, trace, verify, quantise, write."""

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
from convnext_dense.export.accuracy import Loss, check_test, measure_loss
from convnext_dense.export.agreement import agreement
from convnext_dense.export.calibration import Calibration, check_number
from convnext_dense.export.describe import describe
from convnext_dense.export.families import refuse
from convnext_dense.export.formats import FORMATS, ONNX, Format, choose_format
from convnext_dense.export.graph import Graph, make_graph
from convnext_dense.export.onnx_file import NotExportableError, write_onnx
from convnext_dense.export.pictures import generate, generated, prepared, traced_size
from convnext_dense.export.verify import (
    DifferentError,
    Figures,
    Picture,
    Run,
    UnstableError,
    judge,
    measure,
)
from convnext_dense.files import ensure_writable
from convnext_dense.inference.exported import ExportedPredictor
from convnext_dense.inference.model import build_model
from convnext_dense.patches import enable

if TYPE_CHECKING:
    from mmengine.config import Config

    from convnext_dense_runtime.metadata import Metadata

# The share of equal results below which the user is told.
GOOD = 0.9
# How often other pictures are generated where some decide nothing.
TRIALS = 4


def export(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    size: tuple[int, int] | None = None,
    verify: Sequence[str] = (),
    int8: Sequence[str] = (),
    accuracy: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    show: Callable[[Loss], None] = lambda loss: None,
) -> Metadata:
    """Write a trained model as ONNX or OpenVINO, verified against PyTorch.

    Normalisation, padding, decoding of boxes, suppression, RoI heads and masks are in the file,
    which needs only the standard operators of ONNX.

    Args:
        config: A config, its path, or its name such as ``mmdet::...``.
        checkpoint: Path or URL of a whole model, or ``published`` or ``openmmlab``.
        out: The file, which ends in ``.onnx``; or in ``.xml`` for OpenVINO, whose weights are a
            file of the same name with ``.bin``.
        format: ``onnx`` or ``openvino``; None takes the one that the name of ``out`` tells.
        size: (height, width) of the input if it shall be fixed.
        verify: Pictures to compare with, beside three generated ones.
        int8: Pictures for the ranges of 8-bit integers, in which convolutions and linear layers
            then compute. Empty: everything computes in float32.
        accuracy: Whether to test on the data of the config, before and after: the checkpoint and
            the file, or with ``int8`` the export in float32 and the file.
        tell: Called with a line on each step.
        show: Called with what ``accuracy`` measured, once the files are written.

    Returns:
        What the model says about itself, with the figures of the verification.

    Raises:
        FileNotFoundError: If there is no such config, checkpoint, picture or test data.
        ModuleNotFoundError: If a package of the format is not installed.
        ValueError: If the model has a part that cannot be exported, an argument makes no sense, or
            the pictures of ``int8`` are too few or all alike.
        RuntimeError: If the checkpoint is not of this model, or the exported model does not compute
            what PyTorch computes. No file is left then, and an earlier one stays.
        OSError: If the file could not be written.
    """
    enable()
    out = Path(out)
    form = FORMATS[choose_format(out, format)]
    form.check_installed(int8=bool(int8))
    if int8:
        check_number(int8)
    cfg = plan_run(RunOptions(config), PREDICT).config
    refuse(cfg)
    if accuracy:
        check_test(config, checkpoint)
    tell("loading the model")
    model, meta = build_model(cfg, str(checkpoint), torch.device("cpu"), score=0.0)
    metadata = describe(cfg, model, str(checkpoint), meta, size)
    for file in form.files(out):  # makes its folder, so what is wrong above is said before
        ensure_writable(file)
    graph = make_graph(model)
    image = torch.from_numpy(generate(traced_size(metadata), len(metadata.channels), seed=0))
    with tempfile.TemporaryDirectory() as folder, _named(metadata.model):
        traced = Path(folder) / f"traced{FORMATS[ONNX].suffix}"
        tell("tracing it")
        write_onnx(graph, traced, image, fixed=size is not None)
        tell("comparing it with PyTorch")
        made = form.convert(traced)
        figures = _compare(graph, form.runner(made), metadata, prepared(cfg, verify, metadata))
        metadata = dataclasses.replace(metadata, verification=figures.as_dict())
        before = str(checkpoint)
        if int8:
            before = str(Path(folder) / f"float32{form.suffix}")
            form.save(made, Path(before), metadata)
            made, metadata = _quantise(traced, Path(before), form, int8, tell)
        loss = None
        if accuracy:
            after = Path(folder) / f"{'in_int8' if int8 else 'exported'}{form.suffix}"
            form.save(made, after, metadata)
            loss = measure_loss(config, before, str(after), Path(folder), tell)
        form.save(made, out, metadata)
    if loss:
        show(loss)
    return metadata


def _quantise(
    traced: Path, reference: Path, form: Format, paths: Sequence[str], tell: Callable[[str], None]
) -> tuple[Path, Metadata]:
    """Return a file in 8-bit integers, and what it says about itself.

    Args:
        traced: The file that was traced.
        reference: The same in the format of the export, with its metadata.
        form: That format.
        paths: Of the pictures of calibration.
        tell: Called with a line on each step.
    """
    model = ExportedPredictor(reference)
    pictures = Calibration(model, paths)
    tell(f"measuring the ranges of values in {len(pictures)} pictures")
    made = form.quantise(traced, pictures)
    tell("comparing 8-bit integers with float32")
    compared = reference.with_stem("compared")
    form.save(made, compared, model.metadata)
    share = agreement(model, ExportedPredictor(compared), pictures.paths)
    if share < GOOD:
        tell(
            f"only {share:.0%} of the results stay the same: `accuracy=True` tells what that costs"
        )
    figures = {"int8_pictures": len(pictures), "int8_equal": share}
    verification = model.metadata.verification | figures
    return made, dataclasses.replace(model.metadata, verification=verification)


@contextlib.contextmanager
def _named(model: str) -> Iterator[None]:
    """Put the types of a model before what is wrong with its export."""
    try:
        yield
    except (NotExportableError, DifferentError) as error:
        raise type(error)(f"{model}: {error}") from error.__cause__


def _compare(graph: Graph, run: Run, metadata: Metadata, given: Iterable[Picture]) -> Figures:
    """Compare a graph with PyTorch, in generated pictures and in given ones.

    Other pictures are generated where nothing is found in some, or where PyTorch itself finds
    something else with noise of the last digit.
    """
    figures = Figures()
    for trial in range(TRIALS):
        pictures = generated(metadata, seed=100 * trial)
        try:
            figures = measure(graph, run, pictures, metadata.score)
        except UnstableError:
            if trial == TRIALS - 1:
                raise
            continue
        if figures.found:
            break
    figures += measure(graph, run, given, metadata.score)
    judge(figures)
    return figures
