"""Find out which maps a backbone or a neck returns, by building and running it."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

# Keys that change neither channels nor sizes, but need time, files or operators.
NOT_SHAPES = (
    "init_cfg", "pretrained", "with_cp", "convert_weights", "dcn", "stage_with_dcn", "plugins",
    "sac", "stage_with_sac", "output_img", "rfp_inplanes", "frozen_stages", "norm_eval",
)  # fmt: skip
# Devices to build on and to run on. The meta device costs neither memory nor time, but a
# constructor that computes with values needs the CPU, and a forward pass may need it too.
DEVICES = (("meta", "meta"), ("cpu", "meta"), ("cpu", "cpu"))
SIZE = 256
# The last maps of SSD's neck would be empty at 256; a larger size is free on the meta device.
META_SIZE = 512
# No stride from 2 to 32 divides this size, so floor and ceil differ.
ODD_SIZE = 253

T = TypeVar("T")


@dataclass(frozen=True)
class Level:
    """A feature map: its channels, and its stride in pixels of the image."""

    channels: int
    stride: int


@dataclass(frozen=True)
class Pyramid:
    """The maps that a backbone returns.

    Attributes:
        levels: The maps in training mode, in order.
        dilated: Whether it has dilated convolutions, which keep a deep stage at a fine stride.
        ceil: Whether the sizes of maps are rounded up, not down, if a stride does not divide the
            size of the image.
        eval_output: Position of the one map that is returned in evaluation, or None for all maps.
        class_tokens: Whether each map comes with a token, as ``[map, token]``.
        parameters: Names of the backbone's parameters.
    """

    levels: tuple[Level, ...]
    dilated: bool
    ceil: bool
    eval_output: int | None = None
    class_tokens: bool = False
    parameters: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(level.channels for level in self.levels)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each map."""
        return tuple(level.stride for level in self.levels)


@dataclass(frozen=True)
class NeckTrace:
    """What a neck does with maps of given channels and strides.

    Attributes:
        reads: Positions of the maps that it reads.
        outputs: The maps that it returns.
        learns: Whether it has parameters.
    """

    reads: tuple[int, ...]
    outputs: tuple[Level, ...]
    learns: bool = True


def probe_backbone(backbone: dict, scope: str) -> Pyramid:
    """Build a backbone without its weights and run it on an empty image.

    It runs on the meta device if its code allows that.

    Args:
        backbone: Its config.
        scope: Scope of its type, ``mmdet`` or ``mmseg``.

    Raises:
        Exception: Any error of building and running it, such as ImportError.
    """
    cfg = _shapes_only(backbone)
    # Some transformers accept only images of one size.
    own = cfg.get("img_size", ())
    sizes = dict.fromkeys([SIZE, *([own] if isinstance(own, int) else own)])
    return _first_that_works(
        lambda devices, size: _run_backbone(cfg, scope, devices, size),
        list(itertools.product(DEVICES, sizes)),
    )


def trace_neck(neck: dict, scope: str, levels: tuple[Level, ...]) -> NeckTrace:
    """Run a neck on empty maps, and find which of them it reads.

    Args:
        neck: Its config.
        scope: As for :func:`probe_backbone`.
        levels: Channels and strides of the maps.

    Raises:
        Exception: Any error of building and running it.
    """
    return _first_that_works(
        lambda devices: _run_neck(neck, scope, levels, devices), [(d,) for d in DEVICES]
    )


def trace_head(head: dict, levels: tuple[Level, ...]) -> tuple[int, ...]:
    """Run a head of mmseg on empty maps, and return the positions of those that it reads.

    Args:
        head: Its config.
        levels: Channels and strides of all maps, from which the head selects some.

    Raises:
        Exception: Any error of building and running it.
    """
    return _first_that_works(
        lambda devices: _run(head, "mmseg", levels, devices)[0], [(d,) for d in DEVICES]
    )


def _first_that_works(attempt: Callable[..., T], choices: list[tuple]) -> T:
    for choice in choices[:-1]:
        with contextlib.suppress(Exception):
            return attempt(*choice)
    return attempt(*choices[-1])


def _shapes_only(cfg: T) -> T:
    kept: Any = cfg
    if isinstance(cfg, dict):
        kept = {k: _shapes_only(v) for k, v in cfg.items() if k not in NOT_SHAPES}
    elif isinstance(cfg, (list, tuple)) and type(cfg) in (list, tuple):
        kept = type(cfg)(_shapes_only(value) for value in cfg)
    return kept


@contextlib.contextmanager
def _quietly(scope: str) -> Iterator[None]:
    """Look up types in a scope, and restore the random state afterwards."""
    with DefaultScope.overwrite_default_scope(scope), torch.random.fork_rng(devices=[]):
        yield


def build(cfg: dict, scope: str, device: str) -> nn.Module:
    """Build a module of a config on a device."""
    with _quietly(scope), torch.device(device):
        return MODELS.build(dict(cfg))


def _run_backbone(cfg: dict, scope: str, devices: tuple[str, str], size: int) -> Pyramid:
    built_on, device = devices
    net = build(cfg, scope, built_on).to(device)
    in_channels = cfg.get("in_channels", 3)

    def run(size: int) -> tuple[list[Tensor], Any]:
        with torch.no_grad(), _quietly(scope):
            outputs = net(torch.zeros(2, in_channels, size, size, device=device))
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [_map(output) for output in listed], outputs

    # mmdet's ResNet.train() and eval() return None, so the calls cannot be chained.
    net.train()
    maps, outputs = run(size)
    net.eval()
    eval_maps, eval_outputs = run(size)
    levels = tuple(Level(m.shape[1], _stride(size, m.shape[-1])) for m in maps)
    eval_output = None
    if len(maps) > 1 and isinstance(eval_outputs, Tensor):
        eval_output = [m.shape[1:] for m in maps].index(eval_maps[0].shape[1:])
    try:
        odd = [m.shape[-1] for m in run(size - SIZE + ODD_SIZE)[0]]
        floors = [(size - SIZE + ODD_SIZE) // level.stride for level in levels]
        ceil = any(a > b for a, b in zip(odd, floors, strict=False))
    except Exception:
        # The backbone does not accept this size, so the rounding does not matter.
        ceil = True
    return Pyramid(
        levels=levels,
        dilated=any(
            isinstance(m, nn.Conv2d) and max(m.dilation) > 1 and max(m.kernel_size) > 1
            for m in net.modules()
        ),
        ceil=ceil,
        eval_output=eval_output,
        class_tokens=not isinstance(outputs, Tensor)
        and all(isinstance(output, (list, tuple)) for output in outputs),
        parameters=tuple(name for name, _ in net.named_parameters()),
    )


def _map(output: object) -> Tensor:
    tensor = output[0] if isinstance(output, (list, tuple)) else output
    if not isinstance(tensor, Tensor) or tensor.ndim != 4:
        raise TypeError(f"a backbone must return maps (N, C, H, W), got {type(output).__name__}")
    return tensor


def _stride(image: int, size: int) -> int:
    """Return the nearest power of two, since borders can change a size of 16 to 15 or 17."""
    return 2 ** round(math.log2(image / size))


def _run(
    reader: dict, scope: str, levels: tuple[Level, ...], devices: tuple[str, str]
) -> tuple[tuple[int, ...], list[Tensor], nn.Module]:
    """Return the maps that a module reads (those with a gradient), its outputs, and the module."""
    built_on, device = devices
    net = build(_shapes_only(reader), scope, built_on).to(device)
    net.train()
    size = _input_size(device)
    maps = tuple(
        torch.zeros(
            2, level.channels, *2 * (size // level.stride,), device=device, requires_grad=True
        )
        for level in levels
    )
    with _quietly(scope):
        outputs = net(maps)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    sum(output.sum() for output in outputs).backward()
    return tuple(i for i, m in enumerate(maps) if m.grad is not None), outputs, net


def _run_neck(
    neck: dict, scope: str, levels: tuple[Level, ...], devices: tuple[str, str]
) -> NeckTrace:
    reads, outputs, net = _run(neck, scope, levels, devices)
    size = _input_size(devices[1])
    outputs = [_map(output) if output.ndim == 4 else output[..., None, None] for output in outputs]
    return NeckTrace(
        reads=reads,
        outputs=tuple(Level(o.shape[1], _stride(size, o.shape[-1])) for o in outputs),
        learns=any(True for _ in net.parameters()),
    )


def _input_size(device: str) -> int:
    return META_SIZE if device == "meta" else SIZE
