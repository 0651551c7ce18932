"""Parameters and FLOPs of a detector or segmenter, part by part, from its config alone.

The convention is that of the published tables (ConvNeXt, arXiv 2201.03545, tables 3 and 4): one
multiply-add counts 1; convolutions and matrix products (linear layers, attention) count, nothing
else does; a RoI head runs on 1000 boxes and 100 masks at every stage; a segmenter's auxiliary head,
which only training uses, counts in the parameters and not in the FLOPs.

Nothing is computed: the model runs on tensors without data, so no weights, no data set and no
compiled operator are needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from mmcv.cnn import is_norm
from mmengine.config import Config
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from convnext_dense.analysis.meta_device import build_without_data
from convnext_dense.analysis.parts import (
    AUXILIARY_HEAD,
    BETWEEN,
    NUM_BOXES,
    NUM_MASKS,
    find_parts,
    run_parts,
)
from convnext_dense.backbone.block import GRN
from convnext_dense.config_tree import is_segmenter
from convnext_dense.text import printable

if TYPE_CHECKING:
    from mmengine.model import BaseModel

DETECTION_SHAPE = (800, 1280)

# Operations per element, as fvcore counts them: a batch norm at inference scales and shifts, the
# others have their statistics to compute as well.
BATCH_NORM_OPS = 2
NORM_OPS = 5


@dataclass(frozen=True)
class PartComplexity:
    """What one part of a model takes.

    Attributes:
        name: Such as ``backbone stage 2``.
        parameters: Their number, frozen ones included.
        flops: Multiply-adds for one image.
    """

    name: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class Complexity:
    """What a model takes, part by part.

    Attributes:
        shape: Height and width of the image in pixels.
        parts: The parts that run at inference, in the order in which they run.
        auxiliary_head: What only training runs; its FLOPs are not in the total.
        norms: The normalisation layers of ``parts``. Their parameters are in ``parts`` too; their
            ``flops`` are single operations, 2 per element for a batch norm and 5 for any other,
            and are not in the total.
    """

    shape: tuple[int, int]
    parts: tuple[PartComplexity, ...]
    auxiliary_head: PartComplexity | None
    norms: PartComplexity

    @property
    def parameters(self) -> int:
        """All parameters of the model, with the auxiliary head."""
        auxiliary = self.auxiliary_head.parameters if self.auxiliary_head else 0
        return sum(part.parameters for part in self.parts) + auxiliary

    @property
    def flops(self) -> int:
        """Multiply-adds of one image, without the auxiliary head and the norms."""
        return sum(part.flops for part in self.parts)


def count_complexity(cfg: Config, shape: tuple[int, int] | None = None) -> Complexity:
    """Count the parameters and FLOPs of a config's model, one part at a time.

    Args:
        cfg: A config with a ``model`` of mmdet (one- or two-stage) or mmseg (EncoderDecoder).
        shape: Height and width of the image in pixels; None takes :func:`default_shape`.

    Raises:
        ValueError: Where the shape is not positive, or the config gives none or has no model, or
            the model is of a kind whose parts this function does not know how to run.
        RuntimeError: Where a part fails at this shape; the message names the part and its input.
    """
    if "model" not in cfg:
        raise ValueError(f"config {cfg.filename} has no model: name a recipe that has one")
    height, width = shape or default_shape(cfg)
    if min(height, width) < 1:
        raise ValueError(f"`shape` takes a positive height and width, got {height} {width}")
    model = build_without_data(cfg).requires_grad_(False)
    parts = find_parts(model)
    parameters = _count_parameters(model, parts)
    norms = [norm for name in parts if name != AUXILIARY_HEAD for norm in _norms(parts[name])]
    image = torch.empty(1, cfg.model.backbone.get("in_channels", 3), height, width, device="meta")
    flops, norm_ops = _measure(parts, norms, partial(run_parts, model, image))
    counted = {name: PartComplexity(name, parameters[name], flops[name]) for name in parts}
    auxiliary_head = counted.pop(AUXILIARY_HEAD, None)
    num_norm_parameters = sum(p.numel() for norm in norms for p in norm.parameters())
    return Complexity(
        shape=(height, width),
        parts=tuple(counted.values()),
        auxiliary_head=auxiliary_head,
        norms=PartComplexity("norms", num_norm_parameters, norm_ops),
    )


def default_shape(cfg: Config) -> tuple[int, int]:
    """Return the height and width that the published tables take for a config's model.

    Returns:
        800x1280 for a detector; for a segmenter its crop's height, and four times that in width.

    Raises:
        ValueError: Where a segmenter's config names no crop.
    """
    model = cfg.model
    if not is_segmenter(model):
        return DETECTION_SHAPE
    crop = (model.get("data_preprocessor") or {}).get("size") or (model.get("test_cfg") or {}).get(
        "crop_size"
    )
    if not crop:
        raise ValueError(
            "the config has neither model.data_preprocessor.size nor model.test_cfg.crop_size: "
            "give `shape`, the image's height and width"
        )
    return crop[0], 4 * crop[0]


def as_table(complexity: Complexity, title: str) -> Table:
    """Lay the parts out for a terminal, with the convention below."""
    height, width = complexity.shape
    table = Table(
        title=Text(f"{printable(title)}\none image, {height} high and {width} wide"),
        caption=(
            "One multiply-add counts 1; convolutions and matrix products only. RoI heads run on "
            f"{NUM_BOXES} boxes and {NUM_MASKS} masks. The total holds an auxiliary head's "
            "parameters and not its FLOPs. The norms' parameters are in the parts above; their "
            f"operations ({BATCH_NORM_OPS} per element for batch norm, {NORM_OPS} for others) are "
            "not in the total."
        ),
        title_justify="left",
        caption_justify="left",
        min_width=72,
    )
    table.add_column("part")
    table.add_column("params (M)", justify="right")
    table.add_column("FLOPs (G)", justify="right")
    for part in complexity.parts:
        _add_row(table, part)
    table.add_section()
    _add_row(table, PartComplexity("total", complexity.parameters, complexity.flops))
    table.add_section()
    if complexity.auxiliary_head:
        _add_row(table, complexity.auxiliary_head)
    _add_row(table, complexity.norms)
    return table


def _add_row(table: Table, part: PartComplexity) -> None:
    table.add_row(
        Text(printable(part.name)), f"{part.parameters / 1e6:.3f}", f"{part.flops / 1e9:.2f}"
    )


def _count_parameters(model: BaseModel, parts: dict[str, list[nn.Module]]) -> Counter[str]:
    """Count each parameter once, in the first part that has it, and see that none is left."""
    owner: dict[nn.Parameter, str] = {}
    for name, modules in parts.items():
        for module in modules:
            for parameter in module.parameters():
                owner.setdefault(parameter, name)
    if BETWEEN in parts:
        for parameter in model.parameters(recurse=False):
            owner.setdefault(parameter, BETWEEN)
    left = [name for name, parameter in model.named_parameters() if parameter not in owner]
    if left:
        raise ValueError(
            f"{type(model).__name__} cannot be counted: the parts that are known "
            f"({', '.join(parts)}) leave out parameters such as {left[0]!r}"
        )
    counts: Counter[str] = Counter()
    for parameter, name in owner.items():
        counts[name] += parameter.numel()
    return counts


def _norms(modules: list[nn.Module]) -> list[nn.Module]:
    return [m for root in modules for m in root.modules() if is_norm(m) or isinstance(m, GRN)]


def _measure(
    parts: dict[str, list[nn.Module]], norms: list[nn.Module], call: Callable[[], None]
) -> tuple[Counter[str], int]:
    """Return the FLOPs of each part, and the operations of the norms, while ``call`` runs."""
    flops: Counter[str] = Counter()
    norm_ops = 0
    running: list[str] = []  # the parts that are being run, the innermost last
    place, counted = "the model", 0
    counter = FlopCounterMode(display=False)  # counts 2 for a multiply-add

    def settle() -> None:
        """Add what was counted since the last call to the innermost part."""
        nonlocal counted
        total = counter.get_total_flops() // 2
        if running:
            flops[running[-1]] += total - counted
        counted = total

    def enter(name: str, module: nn.Module, inputs: tuple) -> None:
        nonlocal place
        place = f"{name} ({type(module).__name__}), given {_describe(inputs)},"
        settle()
        running.append(name)

    def leave(*_: object) -> None:
        settle()
        running.pop()

    def count_norm(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal norm_ops
        per_element = BATCH_NORM_OPS if isinstance(module, _BatchNorm) else NORM_OPS
        norm_ops += per_element * output.numel()

    for name, modules in parts.items():
        for module in modules:
            module.register_forward_pre_hook(partial(enter, name))
            module.register_forward_hook(leave)
    for norm in norms:
        norm.register_forward_hook(count_norm)
    try:
        with torch.no_grad(), counter:
            call()
    except Exception as error:  # somebody else's model may raise anything
        raise RuntimeError(f"{place} does not run, so it cannot be counted: {error}") from error
    return flops, norm_ops


def _describe(inputs: tuple) -> str:
    maps = inputs[0] if inputs and isinstance(inputs[0], (tuple, list)) else inputs
    sizes = [item.shape for item in maps if isinstance(item, Tensor)]
    return ", ".join("x".join(map(str, size)) for size in sizes) or "its inputs"
