"""Find the ConvNeXt in a checkpoint: its layout, prefix and architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from convnext_dense.backbone.archs import Arch
from convnext_dense.checkpoints.containers import LEADING_WRAPPERS
from convnext_dense.checkpoints.find_step import name_steps
from convnext_dense.checkpoints.layouts import LAYOUTS, Layout, own_shape


@dataclass(frozen=True)
class FoundConvNeXt:
    """A ConvNeXt in a checkpoint.

    Attributes:
        layout: Names and shapes of its parameters in the checkpoint.
        prefix: Beginning of their names in the checkpoint.
        arch: Its architecture.
        own: Its parameters, with our names and shapes; ``norm`` and ``head`` are the classifier's.
        names: Names in the checkpoint, by our names.
        reshaped: Our names of parameters that have another shape in the checkpoint.
        unused: Names that dense prediction does not use, with the reason.
        unknown: Parameters under the prefix that the layout does not know, by their names in the
            checkpoint.
        other_parts: Parameters of other parts of a whole model, by their names in the checkpoint.
        obstacle: Why this network differs from ours, or None.
    """

    layout: Layout
    prefix: str
    arch: Arch
    own: dict[str, Tensor]
    names: dict[str, str]
    reshaped: tuple[str, ...]
    unused: dict[str, str]
    unknown: dict[str, Tensor]
    other_parts: dict[str, Tensor]
    obstacle: str | None

    def named_below(self, path: str) -> dict[str, Tensor]:
        """Return the network's parameters by our names with ``path`` in front."""
        unknown = {name[len(self.prefix) :]: value for name, value in self.unknown.items()}
        return {path + name: value for name, value in (self.own | unknown).items()}

    def names_in_file(self, path: str) -> dict[str, str]:
        """Return the names in the checkpoint, by those of :meth:`named_below`."""
        unknown = {name[len(self.prefix) :]: name for name in self.unknown}
        return {path + name: theirs for name, theirs in (self.names | unknown).items()}

    def other_parameters(self, path: str) -> dict[str, Tensor]:
        """Return the parameters of the other parts, without the wrappers of the whole model.

        Args:
            path: Prefix of the backbone in the model, such as ``backbone.``.
        """
        if self.prefix.endswith(path):
            outer = self.prefix.removesuffix(path)
            names = {name: name.removeprefix(outer) for name in self.other_parts}
        else:
            names = {name: LEADING_WRAPPERS.sub("", name) for name in self.other_parts}
        return {
            self.layout.head_name(names[name]): value for name, value in self.other_parts.items()
        }


def find_convnext(state: Mapping[str, Tensor], source: str) -> FoundConvNeXt:
    """Find the one ConvNeXt in a state dict, in any layout and with any prefix.

    Args:
        state: Parameters by name.
        source: Name of the state dict in messages.

    Raises:
        RuntimeError: If there is no ConvNeXt, or more than one.
    """
    places = [
        (layout, name.removesuffix(layout.signature()))
        for name in state
        for layout in LAYOUTS
        if re.search(rf"(?:^|\.){re.escape(layout.signature())}$", name)
    ]
    if len(places) > 1:
        prefixes = ", ".join(repr(prefix) for _, prefix in places)
        raise RuntimeError(
            f"{source} holds {len(places)} ConvNeXts: choose one with prefix=, one of {prefixes}"
        )
    if not places:
        if steps := name_steps(state, {}):
            raise RuntimeError(
                f"{source} holds no ConvNeXt, but {steps}: its weights fit a backbone of the type "
                "ResNetToConvNeXt"
            )
        raise RuntimeError(
            f"{source} holds no ConvNeXt in a layout known here "
            f"({', '.join(layout.name for layout in LAYOUTS)}); its first names are "
            f"{', '.join(list(state)[:3])}"
        )
    layout, prefix = places[0]
    below = {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
    try:
        arch = layout.arch(below)
    except ValueError as error:
        raise RuntimeError(f"{source} is damaged: {error}; get the file again") from error
    ours = {theirs: our for our, theirs in layout.names(arch.depths).items()}
    bare = tuple(f"{template}." for template in layout.bare)
    in_tower = LEADING_WRAPPERS.sub("", prefix) == layout.tower
    names, unused, unknown, other_parts = {}, {}, {}, {}
    for name, value in state.items():
        inside = name.startswith(prefix)
        # Names of other parts lose the wrappers of the whole model.
        inner = name[len(prefix) :] if inside else LEADING_WRAPPERS.sub("", name)
        our = ours.get(inner)
        if our and (inside or our.startswith(bare)):
            names[our] = name
        elif (inside or in_tower) and (reason := _reason(layout, inner)):
            unused[name] = reason
        elif inside:
            unknown[name] = value
        else:
            other_parts[name] = value
    if layout.final_norm_is_last and not other_parts:
        names = _with_final_norm(names, len(arch.depths) - 1)
    own = {our: own_shape(our, state[name]) for our, name in names.items()}
    reshaped = tuple(our for our, name in names.items() if own[our].shape != state[name].shape)
    obstacle = layout.obstacle(below, arch)
    return FoundConvNeXt(
        layout, prefix, arch, own, names, reshaped, unused, unknown, other_parts, obstacle
    )


def _with_final_norm(names: dict[str, str], last: int) -> dict[str, str]:
    """Rename the output norm of the last stage to the classifier's if it is the only one."""
    if any(f"norm{stage}.weight" in names for stage in range(last)):
        return names
    norm = f"norm{last}."
    return {
        our.replace(norm, "norm.") if our.startswith(norm) else our: name
        for our, name in names.items()
    }


def _reason(layout: Layout, name: str) -> str | None:
    return next((why for pattern, why in layout.unused.items() if re.match(pattern, name)), None)
