"""What a GPU reaches: a recipe at full size, and the backbone beside that of other libraries."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from convnext_dense.benchmark.backbone import Measurement, Setting, measure_backbone
from convnext_dense.benchmark.models import ModelRow, measure_models, title_of
from convnext_dense.benchmark.networks import OURS
from convnext_dense.benchmark.report import installed_versions
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import MODEL, plan_run
from convnext_dense.config.steps.precision import use_precision
from convnext_dense.doctor.finding import Examination, Finding, Verdict, speed_verdict
from convnext_dense.kernels.switched_off import device_name
from convnext_dense.swap.trial import quiet

ARCH, SHAPE, BATCH = "tiny", (800, 1280), 2
ROUNDS = 5
_TIMES = "\N{MULTIPLICATION SIGN}"
_MODES = {"train": "training step", "infer": "inference"}


# Of the table that :func:`backbone_row` makes rows of.
ROWS_HEAD = (
    "| ConvNeXt | input | type | mode | ours, ms | fastest eager peer, ms | fastest of eager and "
    "compiled, ms | ratio to eager | ratio to compiled | memory beyond weights, MB |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def machine_line() -> str:
    """Return the GPU and the versions, as a sentence for ``docs/benchmarks.md``."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    listed = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    return f"{device_name(device)}; {listed}; CUDA {torch.version.cuda or 'none'}."


def check_recipe(examination: Examination, device: torch.device) -> Iterator[Finding]:
    """Time a training step and a prediction of a recipe on random pictures of its full size."""
    recipe = title_of(examination.recipe)
    for mode, title in _MODES.items():
        with quiet():
            cfg = plan_run(RunOptions(examination.recipe), MODEL).config
            if mode == "train":
                use_precision(cfg, "bfloat16")
            with torch.cuda.device(device):
                (row,) = measure_models(
                    {recipe: cfg},
                    mode,
                    device,
                    "amp",
                    batch=BATCH if mode == "train" else None,
                    rounds=ROUNDS,
                )
        yield Finding(
            f"{title} of {recipe}, {device}",
            Verdict.FIT,
            _model_detail(row),
            figures={"seconds": row.total.median, "memory": row.memory, "batch": row.batch},
        )


def check_peers(
    examination: Examination,
    device: torch.device,
    shape: tuple[int, int] = SHAPE,
    arch: str = ARCH,
    compiled: bool = True,
) -> Iterator[Finding]:
    """Time the backbone beside timm's and transformers', eager and compiled, in bfloat16."""
    for mode, title in _MODES.items():
        setting = Setting(
            shape=shape,
            batch=BATCH,
            device=device,
            dtype="amp",
            mode=mode,
            compiled=compiled,
            peers=("timm", "transformers"),
            formats=("channels_last",),
            rounds=ROUNDS,
        )
        with quiet():
            measured = measure_backbone(arch, setting)
        name = f"backbone {arch}, {title}, {device}"
        eager, fastest = measured.fastest_peer(), measured.fastest_peer(compiled)
        if eager is None or fastest is None:
            skipped = "; ".join(f"{peer}: {why}" for peer, why in measured.skipped.items())
            yield Finding(name, Verdict.NOT_SEEN, skipped, "pip install timm transformers")
            continue
        ratio = fastest.ratio.median
        yield Finding(
            name,
            speed_verdict(ratio),
            f"{eager.ratio.median:.2f} times as fast as the fastest eager peer ({eager.network}), "
            f"{ratio:.2f} as the fastest of eager and compiled ({fastest.title})",
            figures={
                "eager_ratio": eager.ratio.median,
                "ratio": ratio,
                "row": backbone_row(measured, setting),
            },
        )


def backbone_row(measured: Measurement, setting: Setting) -> str:
    """Return a measurement as a row of the table in ``docs/benchmarks.md``."""
    ours = min((r for r in measured.rows if r.network == OURS), key=lambda r: r.time.median)
    peers = [row for row in measured.rows if row.network != OURS]
    eager, fastest = measured.fastest_peer(), measured.fastest_peer(compiled=True)
    leanest = min(row.memory for row in peers)
    shape = _TIMES.join(map(str, (setting.batch, 3, *setting.shape)))
    times = f"{_ms(ours.time.median)} | {_ms(eager.time.median)} ({eager.network})" if eager else ""
    compiled = f"{_ms(fastest.time.median)} ({fastest.title})" if fastest else ""
    ratios = " | ".join(
        f"{row.ratio.median:.2f}, {row.ratio.low:.2f} to {row.ratio.high:.2f}"
        for row in (eager, fastest)
        if row
    )
    return (
        f"| {measured.arch} | {shape} | bfloat16 autocast | "
        f"{setting.mode} | {times} | {compiled} | {ratios} | "
        f"{ours.memory / 1e6:.0f}, {leanest / 1e6:.0f} |"
    )


def _model_detail(row: ModelRow) -> str:
    height, width = row.shape
    return (
        f"{row.batch}x3x{height}x{width} in bfloat16: {_ms(row.total.median)} ms, "
        f"{row.batch / row.total.median:.1f} images a second, peak {row.memory / 1e9:.1f} GB "
        "beyond weights and optimizer"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"
