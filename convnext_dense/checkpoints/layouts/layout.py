"""What a layout is: how one library names and shapes the parameters of a ConvNeXt.

A layout is a table of rules ``our template: their template``. It is filled in for the stages and
blocks of a network, which gives a dictionary of names that serves both directions. Shapes do not
belong to the tables: what a parameter is follows from our name, and each kind has one reshape.

A template may have the fields ``{s}`` (stage), ``{b}`` (block), ``{d}`` (a stage with a
downsampling, from 1), and ``{next}``, ``{even}``, ``{odd}``: stage + 1, 2 * stage, 2 * stage + 1.
One that ends in a parameter's name is a parameter; any other is a module with weight and bias.
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
# The module that every block of every layout has, and that no other network calls so.
DEPTHWISE = "stages.{s}.{b}.dwconv"


@dataclass(frozen=True)
class Layout:
    """How one library names and shapes a ConvNeXt.

    Attributes:
        name: How the report calls it.
        rules: Our template of a module or parameter: theirs.
        unused: Pattern of names that dense prediction has no use for: the reason. They are matched
            from the start, below the network's prefix, and beside it under ``tower``.
        tower: Prefix of the network where its library publishes it beside parts without use here.
        wrapper: Key under which its files keep the parameters, or None for a bare state dict.
        prefix: What its files put before the names of a network that holds the given parameters of
            ours.
        bare: Templates in ``rules`` that stand outside of the prefix.
        shapes: Our kind of a parameter (see :func:`kind_of`): the shape that it has there, one of
            whose sizes is -1; given for a kind that is not shaped as ours.
        heads: Pattern in the names of heads beside the network: what mmdet and mmseg have for it.
        conv_mlp: Tells of a network whether its pointwise weights are 1x1 convolutions.
        final_norm_is_last: Whether the classifier's norm is called as the last output norm is.
        final_norm_eps: What the classifier's norm adds to the variance.
        obstacle: Says why the parameters of a file, by their names there, make another network than
            ours, or gives None.
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

    def names(self, depths: Sequence[int]) -> dict[str, str]:
        """Return their name of each parameter that networks of these depths can have, by ours."""
        names: dict[str, str] = {}
        for ours, theirs in self.rules.items():
            for fields in _fields(ours, depths):
                names |= _with_parameters(ours.format(**fields), theirs.format(**fields))
        return names

    def head_name(self, name: str) -> str:
        """Return what mmdet and mmseg call a head's parameter of this layout."""
        for theirs, ours in self.heads.items():
            name = re.sub(theirs, ours, name)
        return name

    def signature(self, stage: int = 0, block: int = 0) -> str:
        """Return their name of the depthwise weight of a block."""
        weight = self.rules.get(f"{DEPTHWISE}.weight") or f"{self.rules[DEPTHWISE]}.weight"
        return weight.format(**_position(stage, block))

    def arch(self, state: Mapping[str, Tensor]) -> Arch:
        """Return the architecture, by their names and shapes.

        Args:
            state: Parameters by their names, without any prefix.
        """
        depths: list[int] = []
        channels: list[int] = []
        while (first := self.signature(len(depths))) in state:
            stage = len(depths)
            channels.append(own_shape(f"{DEPTHWISE}.weight", state[first]).shape[0])
            depth = 1
            while self.signature(stage, depth) in state:
                depth += 1
            depths.append(depth)
        grn = self.names(depths).get("stages.0.0.grn.gamma") in state
        return Arch(tuple(depths), tuple(channels), grn)

    def write(self, own: Mapping[str, Tensor], arch: Arch) -> dict[str, Tensor]:
        """Return parameters under the names, prefix and shapes that this layout has for them.

        Args:
            own: Parameters by our names; ``norm`` and ``head`` are the classifier's.
            arch: The network that they are of.

        Raises:
            ValueError: Where the layout has no such parameter.
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
    """Return what a parameter of ours is: its kind decides how it is reshaped.

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
    """Reshape a parameter of any layout to the shape that it has in our network.

    What cannot be reshaped is returned as it is, for the comparison with the network to name.

    Args:
        name: Our name.
        value: The parameter as the layout shapes it.
    """
    kind = kind_of(name)
    if kind in ("grn", "layer_scale", "vector"):
        # (1, 1, 1, C), (C, 1, 1), (1, C): one axis, and others of size 1.
        return value.flatten() if value.numel() == max(value.shape, default=0) else value
    if kind == "pointwise" and value.shape[2:] == (1, 1):
        return value.flatten(1)
    if kind == "kernel" and value.ndim < 4:
        return _dense_kernel(value)
    return value


def _dense_kernel(value: Tensor) -> Tensor:
    """MinkowskiEngine's (k * k, in, out), or depthwise (k * k, C), whose x is the slow axis."""
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
