"""Load a checkpoint in the layout of facebookresearch/ConvNeXt, and prove that it loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from convnext_dense.backbone.archs import ARCHS, Arch
from convnext_dense.backbone.convnext import ConvNeXt

# A classifier's last norm and linear layer have no counterpart in dense prediction.
CLASSIFIER = re.compile(r"(norm|head)\.")
# The output norms are the only parameters that a classification file does not have.
OUTPUT_NORM = re.compile(r"norm(\d+)\.")
STAGE = re.compile(r"(?:stages|downsample_layers)\.(\d+)\.")
BLOCK_NORM = re.compile(r"stages\.(\d+)\.\d+\.norm\.weight")
STEM = "downsample_layers.0.0.weight"


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
    backbone: ConvNeXt,
    source: str | os.PathLike | Mapping[str, Tensor],
    prefix: str | None = None,
) -> LoadReport:
    """Load published weights into a backbone.

    Args:
        backbone: The network; it is changed only if everything fits.
        source: Path, URL or state dict in Meta's layout, bare or under the key ``model`` or
            ``state_dict``.
        prefix: Load only the names below it, such as ``backbone`` of a whole model.

    Returns:
        What was loaded, dropped and missing; also logged.

    Raises:
        OSError: Where the source cannot be had.
        RuntimeError: Where it is damaged, or a parameter is missing, left over or of another shape.
    """
    if isinstance(source, Mapping):
        name, state_dict = "state dict", _unwrap(source, "state dict")
    else:
        name = os.fspath(source)
        state_dict = _unwrap(_read(name), name)
    if prefix:
        state_dict = _below(prefix, state_dict, name)
    held = _describe(state_dict)
    dropped = tuple(key for key in state_dict if _is_unused(key, backbone))
    # Meta stores GRN as (1, 1, 1, 4C).
    state_dict = {
        key: value.flatten() if ".grn." in key else value
        for key, value in state_dict.items()
        if key not in dropped
    }
    missing = _compare(backbone, state_dict, f"{name} holds {held}")
    backbone.load_state_dict(state_dict, strict=False)
    report = LoadReport(name, tuple(state_dict), dropped, missing)
    print_log(str(report), logger="current")
    return report


def _read(source: str) -> object:
    try:
        return CheckpointLoader.load_checkpoint(source, map_location="cpu")
    except (OSError, RuntimeError) as error:
        raise type(error)(
            f"the backbone's weights {source} cannot be had ({error}): give a local copy with "
            "--weights PATH (config key model.backbone.init_cfg.checkpoint), or train from scratch "
            "with --weights none"
        ) from error


def _unwrap(checkpoint: object, source: str) -> Mapping[str, Tensor]:
    state_dict = checkpoint
    if isinstance(checkpoint, Mapping):
        nested = (checkpoint.get(key) for key in ("model", "state_dict"))
        state_dict = next((value for value in nested if isinstance(value, Mapping)), checkpoint)
    if not isinstance(state_dict, Mapping):
        held = type(state_dict).__name__
    elif state_dict and all(isinstance(value, Tensor) for value in state_dict.values()):
        return state_dict
    else:
        held = ", ".join(map(repr, state_dict)) or "nothing"
    raise RuntimeError(
        f"{source} holds no parameters, neither bare nor under the key 'model' or 'state_dict', "
        f"but {held}"
    )


def _below(prefix: str, state_dict: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    prefix = prefix.removesuffix(".") + "."
    below = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    if not below:
        raise RuntimeError(
            f"{source} has no name that begins with the prefix {prefix!r}: it holds "
            f"{_describe(state_dict)}, and its first name is {next(iter(state_dict))!r}"
        )
    return below


def _is_unused(name: str, backbone: ConvNeXt) -> bool:
    """Tell what the backbone leaves out on purpose from what does not fit it."""
    if CLASSIFIER.match(name):
        return True
    if norm := OUTPUT_NORM.match(name):
        return not (backbone.norm_out and int(norm[1]) in backbone.out_indices)
    stage = STAGE.match(name)
    return bool(stage) and len(backbone.stages) <= int(stage[1]) < len(backbone.arch.depths)


def _compare(backbone: ConvNeXt, state_dict: Mapping[str, Tensor], what: str) -> tuple[str, ...]:
    """Refuse what does not fit, and return the output norms that ``what`` lacks."""
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
        raise RuntimeError(
            f"{what} and does not fit the backbone, which is {_name(backbone.arch)}: {listed}"
        )
    return missing


def _describe(state_dict: Mapping[str, Tensor]) -> str:
    """Say what a checkpoint holds: which architecture, or where in it to look for one."""
    widths: dict[int, list[int]] = {}
    for name, value in state_dict.items():
        if block := BLOCK_NORM.fullmatch(name):
            widths.setdefault(int(block[1]), []).append(value.numel())
    if widths:
        stages = [widths[stage] for stage in sorted(widths)]
        depths, channels = zip(*((len(stage), stage[0]) for stage in stages), strict=True)
        return _name(Arch(depths, channels, grn=any(".grn." in name for name in state_dict)))
    for name in state_dict:
        if name.endswith(f".{STEM}"):
            return f"a whole model, whose backbone loads with prefix={name.removesuffix(STEM)!r}"
    return "no ConvNeXt in Meta's layout"


def _name(arch: Arch) -> str:
    for name, published in ARCHS.items():
        if arch == published:
            return f"arch {name!r}"
    return f"arch {dict(depths=arch.depths, channels=arch.channels, grn=arch.grn)}"
