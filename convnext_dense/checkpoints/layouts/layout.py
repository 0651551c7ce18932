"""Describe a layout: how one library names and shapes the parameters of a ConvNeXt.

A layout is a table of rules ``our template: their template``. Filled in for the stages and blocks
of a network, the rules give a dictionary of names that serves both directions. The tables do not
state shapes: our name tells the kind of a parameter, and each kind is reshaped in one way.

A template may have the fields ``{s}`` (stage), ``{b}`` (block), ``{d}`` (a stage with a
downsampling, from 1), and ``{next}``, ``{even}``, ``{odd}``: stage + 1, 2 * stage, 2 * stage + 1.
If it ends in a parameter's name it is a parameter, otherwise a module with weight and bias.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convnext_dense.backbone.archs import Arch

if TYPE_CHECKING:
    from torch import Tensor

PARAMETERS = ("weight", "bias", "gamma", "beta", "kernel")
# Every layout has this module in every block, and no other network uses its name.
DEPTHWISE = "stages.{s}.{b}.dwconv"
STEM_NORM = "downsample_layers.0.1"


@dataclass(frozen=True)
class Layout:
    """How one library names and shapes a ConvNeXt.

    Attributes:
        name: Name of the layout in reports.
        rules: Their template of a module or parameter, by ours.
        unused: Reason why dense prediction does not use some names, by a pattern for these names.
            Patterns match from the start, after the network's prefix, and for parts beside a
            network under ``tower``.
        tower: Prefix of the network in files that also hold parts which are not used here.
        wrapper: Key under which files keep the parameters, or None for a bare state dict.
        prefix: Function that returns what files put in front of the names, for an architecture and
            our names of the parameters.
        bare: Templates in ``rules`` that have no prefix.
        shapes: Shape of a kind of parameters (see :func:`kind_of`), with one size of -1; only for
            kinds that differ from ours.
        heads: Replacement in the names of a whole model's heads, by a pattern, which makes them the
            names of mmdet and mmseg.
        conv_mlp: Function that returns whether a network's pointwise weights are 1x1 convolutions.
        final_norm_is_last: Whether the classifier's norm has the name of the last output norm.
        final_norm_eps: What the classifier's norm adds to the variance.
        obstacle: Function that returns why the parameters of a file make another network than ours,
            or None.
        forms: The networks that it names: ``staged`` (a stem with a norm, then stages) and
            ``isotropic`` (one stage, and no norm in the stem).
    """

    name: str
    rules: Mapping[str, str]
    unused: Mapping[str, str] = field(default_factory=dict)
    tower: str | None = None
    wrapper: str | None = None
    prefix: Callable[[Arch, Collection[str]], str] = lambda arch, own: ""
    bare: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)
    conv_mlp: Callable[[Arch], bool] = lambda arch: False
    final_norm_is_last: bool = False
    final_norm_eps: float = 1e-6
    obstacle: Callable[[Mapping[str, Tensor], Arch], str | None] = lambda state, arch: None
    forms: tuple[str, ...] = ("staged",)

    def names(self, depths: Sequence[int]) -> dict[str, str]:
        """Return their name of every parameter of networks with these depths, by our name."""
        names: dict[str, str] = {}
        for ours, theirs in self.rules.items():
            for fields in _fields(ours, depths):
                names |= _with_parameters(ours.format(**fields), theirs.format(**fields))
        return names

    def head_name(self, name: str) -> str:
        """Return the name in mmdet and mmseg of a head's parameter in this layout."""
        for theirs, ours in self.heads.items():
            name = re.sub(theirs, ours, name)
        return name

    def signature(self, stage: int = 0, block: int = 0) -> str:
        """Return their name of the depthwise weight of a block."""
        weight = self.rules.get(f"{DEPTHWISE}.weight") or f"{self.rules[DEPTHWISE]}.weight"
        return weight.format(**_position(stage, block))

    def arch(self, state: Mapping[str, Tensor]) -> Arch:
        """Return the architecture of a network in this layout.

        Args:
            state: Parameters by their names, without any prefix.
        """
        depths: list[int] = []
        channels: list[int] = []
        # Names of isotropic networks alone have no stage in them: each stage would be the first.
        stages = math.inf if "staged" in self.forms else 1
        while len(depths) < stages and (first := self.signature(len(depths))) in state:
            stage = len(depths)
            channels.append(own_shape(f"{DEPTHWISE}.weight", state[first]).shape[0])
            depth = 1
            while self.signature(stage, depth) in state:
                depth += 1
            depths.append(depth)
        names = self.names(depths)
        grn = names.get("stages.0.0.grn.gamma") in state
        isotropic = "isotropic" in self.forms and (
            len(depths) == 1 and names.get(f"{STEM_NORM}.weight") not in state
        )
        return Arch(tuple(depths), tuple(channels), grn, isotropic)

    def write(self, own: Mapping[str, Tensor], arch: Arch) -> dict[str, Tensor]:
        """Return parameters with the names, prefix and shapes of this layout.

        Args:
            own: Parameters by our names; ``norm`` and ``head`` are the classifier's.
            arch: Architecture of their network.

        Raises:
            ValueError: If the layout has no place for a parameter.
        """
        names = self.names(arch.depths)
        last = f"norm{len(arch.depths) - 1}"
        if self.final_norm_is_last and f"{last}.weight" not in own:
            names |= _with_parameters("norm", last)
        bare = tuple(f"{template}." for template in self.bare)
        prefix = self.prefix(arch, own)
        written = {}
        for name, value in own.items():
            if name not in names:
                raise ValueError(f"the layout {self.name!r} has no place for {name}")
            before = "" if name.startswith(bare) else prefix
            written[before + names[name]] = self._their_shape(name, value, arch)
        return written

    def _their_shape(self, name: str, value: Tensor, arch: Arch) -> Tensor:
        kind = kind_of(name)
        if kind == "pointwise" and self.conv_mlp(arch):
            return value[..., None, None]
        return value.reshape(self.shapes[kind]) if kind in self.shapes else value


def kind_of(name: str) -> str:
    """Return the kind of a parameter by our name; it decides how the parameter is reshaped.

    Returns:
        ``grn``, ``layer_scale``, ``pointwise``, ``kernel`` (of a convolution, and the weight of a
        norm beside one), ``matrix`` (the classifier's) or ``vector`` (biases, other norms).
    """
    if ".grn." in name:
        return "grn"
    if name.endswith(".gamma"):
        return "layer_scale"
    if not name.endswith(".weight") or "norm" in name:
        return "vector"
    if ".pwconv" in name:
        return "pointwise"
    return "matrix" if name.startswith("head.") else "kernel"


def own_shape(name: str, value: Tensor) -> Tensor:
    """Reshape a parameter of any layout to its shape in our network.

    A parameter that cannot be reshaped is returned unchanged, so that the comparison with the
    network reports it.

    Args:
        name: Our name.
        value: The parameter in the shape of the layout.
    """
    kind = kind_of(name)
    if kind in ("grn", "layer_scale", "vector"):
        # Such as (1, 1, 1, C), (C, 1, 1) or (1, C): only one axis is longer than 1.
        return value.flatten() if value.numel() == max(value.shape, default=0) else value
    if kind == "pointwise" and value.shape[2:] == (1, 1):
        return value.flatten(1)
    if kind == "kernel" and value.ndim < 4:
        return _dense_kernel(value)
    return value


def _dense_kernel(value: Tensor) -> Tensor:
    """Convert MinkowskiEngine's (k * k, in, out) or depthwise (k * k, C); x is its slow axis."""
    size = math.isqrt(len(value)) if value.ndim in (2, 3) else 0
    if not size or size**2 != len(value):
        return value
    if value.ndim == 2:
        value = value[:, None]
    return value.unflatten(0, (size, size)).permute(3, 2, 1, 0)


def _fields(template: str, depths: Sequence[int]) -> Iterator[dict[str, int]]:
    """Yield the values of a template's fields."""
    for stage in range(1 if "{d}" in template else 0, len(depths)):
        for block in range(depths[stage] if "{b}" in template else 1):
            yield _position(stage, block)
        if "{" not in template:
            return


def _position(stage: int, block: int) -> dict[str, int]:
    return dict(s=stage, b=block, d=stage, next=stage + 1, even=2 * stage, odd=2 * stage + 1)


def _with_parameters(ours: str, theirs: str) -> dict[str, str]:
    if ours.rpartition(".")[2] in PARAMETERS:
        return {ours: theirs}
    return {f"{ours}.{parameter}": f"{theirs}.{parameter}" for parameter in ("weight", "bias")}
