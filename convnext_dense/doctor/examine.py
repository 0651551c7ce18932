"""Examine a machine, line by line, the most important lines first."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic

import torch

from convnext_dense.doctor import gpu, speed
from convnext_dense.doctor.finding import Check, Examination, Finding, GPUCheck, Verdict
from convnext_dense.doctor.kernels import (
    SMALL_STAGES,
    STAGES,
    check_cpu_kernels,
    check_triton_kernels,
)
from convnext_dense.doctor.loading import check_loading
from convnext_dense.doctor.operators import check_operators, check_operators_in_amp
from convnext_dense.doctor.ranks import check_ranks
from convnext_dense.doctor.resources import check_resources
from convnext_dense.doctor.software import check_software
from convnext_dense.doctor.training import check_amp, check_checkpoints, check_training
from convnext_dense.files import write_whole
from convnext_dense.kernels.switched_off import device_name, kernels_file, read_entries
from convnext_dense.text import one_line

# Seconds.
QUICK, FULL = 60.0, 480.0


def _triton(examination: Examination, device: torch.device) -> Iterator[Finding]:
    stages = STAGES if examination.full else SMALL_STAGES
    yield from check_triton_kernels(examination, device, stages)


FIRST = (Check("software", check_software), Check("resources", check_resources))
ON_GPU = (
    GPUCheck("GPU", gpu.check_gpu),
    GPUCheck("Triton kernels", _triton),
    GPUCheck("operators", check_operators),
    GPUCheck("mixed precision", check_amp),
    GPUCheck("backbone beside its peers", speed.check_peers, full_only=True),
    GPUCheck("recipe at full size", speed.check_recipe, full_only=True),
    GPUCheck("operators in mixed precision", check_operators_in_amp),
    GPUCheck("memory formats", gpu.check_memory_formats),
    GPUCheck("CUDA graphs", gpu.check_graphs),
    GPUCheck("torch.compile", gpu.check_compile, full_only=True),
)
LAST = (
    Check("several GPUs", check_ranks),
    Check("operators on the CPU", check_operators),
    Check("CPU kernels", check_cpu_kernels),
    Check("data loader", check_loading),
    Check("training", check_training),
    Check("checkpoints", check_checkpoints),
)


def examine(
    work_dir: str | Path = "work_dirs",
    *,
    full: bool = False,
    recipe: str = Examination.recipe,
    workers: int = Examination.workers,
    gpus: Sequence[int] | None = None,
) -> Iterator[Finding]:
    """Examine this machine.

    Args:
        work_dir: The folder in which runs will write.
        full: Whether to look at real sizes, which takes minutes instead of one.
        recipe: A recipe by its name, or a config's path, whose speed is measured on a GPU.
        workers: Number of data loading processes.
        gpus: The indices of the GPUs to examine; None takes all.

    Yields:
        The findings, each as soon as it is known. What raises an error becomes a finding too.
    """
    if gpus is None:
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with tempfile.TemporaryDirectory(prefix="convnext_dense_doctor_") as folder:
        examination = Examination(Path(folder), Path(work_dir), tuple(gpus), full, recipe, workers)
        yield from take_checks(_checks(examination), examination, QUICK if not full else FULL)


def take_checks(
    checks: Iterable[Check], examination: Examination, seconds: float
) -> Iterator[Finding]:
    """Take checks one after another; after ``seconds`` the rest is not seen."""
    end = monotonic() + seconds
    for check in checks:
        if monotonic() > end:
            yield Finding(check.name, Verdict.NOT_SEEN, f"the {seconds:.0f} seconds were over")
            continue
        try:
            yield from check.look(examination)
        except Exception as error:  # whatever is wrong with a machine is a finding
            yield Finding(check.name, Verdict.WRONG, one_line(error), "the line says what is wrong")


def _checks(examination: Examination) -> Iterator[Check]:
    yield from FIRST
    for check in ON_GPU:
        if check.full_only and not examination.full:
            continue
        if not examination.gpus:
            yield Check(check.name, partial(_no_gpu, check.name))
        for index in examination.gpus:
            device = torch.device("cuda", index)
            yield Check(f"{check.name}, {device}", partial(_on, check, device))
    yield from LAST


def _on(check: GPUCheck, device: torch.device, examination: Examination) -> Iterable[Finding]:
    return check.look(examination, device)


def _no_gpu(name: str, examination: Examination) -> Iterator[Finding]:
    why = "torch has no CUDA" if torch.version.cuda is None else "torch finds no GPU"
    yield Finding(name, Verdict.NOT_SEEN, why)


def switch_off(findings: Sequence[Finding]) -> list[str]:
    """Switch off, on this machine, the kernels that were found wrong or slow.

    Args:
        findings: All findings of an examination. Kernels that it found fit are switched on again.

    Returns:
        The names of those that are off now.

    Raises:
        ValueError: If the file with the switches is damaged.
        WriteError: If it cannot be written.
    """
    seen: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.kernel:
            on_gpu = finding.kernel.startswith("triton.")
            where = torch.device("cuda" if on_gpu and torch.cuda.is_available() else "cpu")
            seen.setdefault((finding.kernel, device_name(where)), []).append(finding)
    entries = [
        entry
        for entry in read_entries()
        if (entry["kernel"], entry["device"]) not in seen or entry["torch"] != torch.__version__
    ]
    off = []
    for (kernel, device), found in seen.items():
        bad = next((f for f in found if f.verdict is Verdict.WRONG), None)
        if bad is None and all(finding.verdict is Verdict.SLOW for finding in found):
            bad = found[0]
        if bad:
            why = f"{bad.verdict.value}: {bad.name}: {bad.detail}"
            entries.append(
                dict(kernel=kernel, why=why, device=device, torch=str(torch.__version__))
            )
            off.append(kernel)
    path = kernels_file()
    if entries or path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(entries, indent=1) + "\n")
    return off


def as_json(findings: Sequence[Finding]) -> str:
    """Return findings as JSON, with what is needed to read them elsewhere."""
    from convnext_dense.benchmark.report import environment

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    content = environment(device) | {"findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=1, default=str) + "\n"
