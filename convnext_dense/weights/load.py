"""Load a checkpoint in the layout of facebookresearch/ConvNeXt, and prove that it loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from convnext_dense.backbone.archs import ARCHS
from convnext_dense.backbone.convnext import ConvNeXt

# A classifier's last norm and linear layer have no counterpart in dense prediction.
CLASSIFIER = re.compile(r"(norm|head)\.")
# The output norms are the only parameters that a classification file does not have.
OUTPUT_NORM = re.compile(r"norm(\d+)\.")
STAGE = re.compile(r"(?:stages|downsample_layers)\.(\d+)\.")


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint.

    Attributes:
        source: Path or URL, or ``state dict``.
        loaded: Names of the parameters that came from the checkpoint.
        dropped: Names in the checkpoint that dense prediction has no use for.
        missing: Output norms that the checkpoint does not hold; they stay at 1 and 0.
    """

    source: str
    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.source}: {len(self.loaded)} backbone parameters loaded, none left out"
        if self.dropped:
            text += f"; dropped {', '.join(self.dropped)}"
        if self.missing:
            text += f"; not in the file and left at 1 and 0: {', '.join(self.missing)}"
        return text


def load_weights(
    backbone: ConvNeXt, source: str | Mapping[str, Tensor], prefix: str | None = None
) -> LoadReport:
    """Load published weights into a backbone.

    Args:
        backbone: The network; it is changed only if everything fits.
        source: Path, URL or state dict in Meta's layout, bare or under the key ``model`` or
            ``state_dict``.
        prefix: Load only the names that begin so, such as ``backbone.`` of a whole model.

    Returns:
        What was loaded, dropped and missing; also logged.

    Raises:
        OSError: Where the source cannot be had.
        RuntimeError: Where a parameter is missing, left over or of another shape.
    """
    name = source if isinstance(source, str) else "state dict"
    state_dict = _unwrap(_read(source) if isinstance(source, str) else source)
    if prefix:
        state_dict = {
            key.removeprefix(prefix): value
            for key, value in state_dict.items()
            if key.startswith(prefix)
        }
    dropped = tuple(key for key in state_dict if _is_unused(key, backbone))
    # Meta stores GRN as (1, 1, 1, 4C).
    state_dict = {
        key: value.flatten() if ".grn." in key else value
        for key, value in state_dict.items()
        if key not in dropped
    }
    missing = _compare(backbone, state_dict, name)
    backbone.load_state_dict(state_dict, strict=False)
    report = LoadReport(name, tuple(state_dict), dropped, missing)
    print_log(str(report), logger="current")
    return report


def _read(source: str) -> Mapping:
    try:
        return CheckpointLoader.load_checkpoint(source, map_location="cpu")
    except OSError as error:
        raise type(error)(
            f"the backbone's weights {source} cannot be had ({error}): give a local copy with "
            "--weights PATH (config key model.backbone.init_cfg.checkpoint), or train from scratch "
            "with --weights none"
        ) from error


def _unwrap(checkpoint: Mapping) -> Mapping[str, Tensor]:
    for key in ("model", "state_dict"):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def _is_unused(name: str, backbone: ConvNeXt) -> bool:
    """Tell what the backbone leaves out on purpose from what does not fit it."""
    if CLASSIFIER.match(name):
        return True
    if norm := OUTPUT_NORM.match(name):
        return not (backbone.norm_out and int(norm[1]) in backbone.out_indices)
    stage = STAGE.match(name)
    return bool(stage) and len(backbone.stages) <= int(stage[1]) < len(backbone.arch.depths)


def _compare(backbone: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Refuse what does not fit, and return the output norms that the file lacks."""
    wanted = {name: value.shape for name, value in backbone.state_dict().items()}
    absent = [name for name in wanted if name not in state_dict]
    missing = tuple(name for name in absent if OUTPUT_NORM.match(name))
    faults = {
        "missing": [name for name in absent if name not in missing],
        "not in the model": [name for name in state_dict if name not in wanted],
        "of another shape": [
            f"{name} {tuple(value.shape)} for {tuple(wanted[name])}"
            for name, value in state_dict.items()
            if name in wanted and value.shape != wanted[name]
        ],
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        )
        held = _describe({name: value.shape for name, value in state_dict.items()})
        raise RuntimeError(
            f"{source} holds {held} and does not fit the backbone, which is {_describe(wanted)}: "
            f"{listed}"
        )
    return missing


def _describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Name the architecture that a set of parameters in Meta's layout belongs to."""
    if "downsample_layers.0.0.weight" not in shapes:
        if any(".downsample_layers." in f".{name}" for name in shapes):
            return "a whole model (its backbone loads with prefix='backbone.')"
        return "no ConvNeXt in Meta's layout"
    blocks = {
        tuple(map(int, m.groups()))
        for m in map(re.compile(r"stages\.(\d+)\.(\d+)\.").match, shapes)
        if m
    }
    depths = tuple(
        1 + max(block for s, block in blocks if s == stage)
        for stage in sorted({s for s, _ in blocks})
    )
    width = shapes["downsample_layers.0.0.weight"][0]
    grn = any(".grn." in name for name in shapes)
    for arch_name, arch in ARCHS.items():
        if (arch.depths[: len(depths)], arch.channels[0], arch.grn) == (depths, width, grn):
            return f"arch {arch_name!r}"
    return f"arch of depths {depths} at width {width}{' with GRN' if grn else ''}"
