"""Build optimizers whose learning rate decays with depth, by the backbone's own layer ids."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import NamedTuple

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from convnext_dense.backbone import ConvNeXt, ResNetToConvNeXt
from convnext_dense.backbone.block import GRN

# What counts its layers itself.
BACKBONES = (ConvNeXt, ResNetToConvNeXt)
Backbone = ConvNeXt | ResNetToConvNeXt
NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm)
DECAY_TYPES = ("layer_wise", "stage_wise")
# The factor of the weight decay for each kind of parameter, unless the config sets another.
DECAY_MULTS = {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0, "flat_decay_mult": 0.0}
OPTIONS = ("decay_rate", "decay_type", "num_layers", "custom_keys", *DECAY_MULTS)
CUSTOM_OPTIONS = ("lr_mult", "decay_mult")
# The rest of the model comes after every layer of a backbone.
AFTER_ALL_LAYERS = float("inf")


class _Group(NamedTuple):
    """What the parameters of one group share; sorts by depth."""

    layer: float
    name: str
    lr: float
    weight_decay: float


class ConvNeXtOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer wrapper whose learning rate decays from the heads down to the stem.

    A backbone parameter of layer ``i`` gets ``lr * decay_rate ** (num_layers + 1 - i)``; output
    norms, neck and heads get ``lr``. Layer ids and their number come from the backbone (see
    :meth:`convnext_dense.ConvNeXt.layer_id`), and reproduce the published scales. Norms, biases,
    layer scale, GRN and every other vector get no weight decay, in the whole model.

    Source: facebookresearch/ConvNeXt, ``mmcv_custom/layer_decay_optimizer_constructor.py``.

    Args:
        optim_wrapper_cfg: As for mmengine's constructor; ``optimizer`` states ``lr`` and
            ``weight_decay``.
        paramwise_cfg: ``decay_rate`` in (0, 1] and ``decay_type``, ``layer_wise`` (three blocks
            a layer) or ``stage_wise``, are required. Optional are ``num_layers``, which lowers
            every scale if it is more than the backbone has;
            ``norm_decay_mult``, ``bias_decay_mult`` and ``flat_decay_mult`` (other vectors: layer
            scale, GRN), each 0 by default; and ``custom_keys``, a dict from a part of a
            parameter's name to ``dict(lr_mult=..., decay_mult=...)``. The longest key that matches
            is used, and its factors multiply everything above.

    Raises:
        ValueError: If an option is unknown or missing, a value is out of range, the model has no
            ConvNeXt (or step to it), or ``num_layers`` would make a scale larger than 1.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        options = self.paramwise_cfg
        _check_names("paramwise_cfg", options, OPTIONS)
        for required in ("decay_rate", "decay_type"):
            if required not in options:
                raise ValueError(f"paramwise_cfg needs {required}, got {dict(options)}")
        rate, kind = options["decay_rate"], options["decay_type"]
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(f"paramwise_cfg.decay_rate is above 0 and at most 1, got {rate!r}")
        if kind not in DECAY_TYPES:
            raise ValueError(
                f"paramwise_cfg.decay_type is one of {', '.join(DECAY_TYPES)}, got {kind!r}"
            )
        num_layers = options.get("num_layers", 1)
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(f"paramwise_cfg.num_layers is at least 1, got {num_layers!r}")
        for key, custom in options.get("custom_keys", {}).items():
            if not isinstance(custom, Mapping):
                raise ValueError(f"paramwise_cfg.custom_keys[{key!r}] is a dict, got {custom!r}")
            _check_names(f"paramwise_cfg.custom_keys[{key!r}]", custom, CUSTOM_OPTIONS)
        for name in ("lr", "weight_decay"):
            if self.optimizer_cfg.get(name) is None:
                raise ValueError(
                    f"optim_wrapper.optimizer must state {name}, got {dict(self.optimizer_cfg)}"
                )

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Append the parameter groups of a whole model, and log them as one table.

        Called by mmengine's constructor with an empty list and the unwrapped model.

        Args:
            params: Receives one dict per group: ``params``, ``lr``, ``weight_decay``, ``name``.
            module: The model.
            prefix: Not used; the base class needs it for its recursion.
            is_dcn_module: Not used, likewise.
        """
        backbones = {name: m for name, m in module.named_modules() if isinstance(m, BACKBONES)}
        if not backbones:
            raise ValueError(_no_backbone(module))
        groups: dict[_Group, list[nn.Parameter]] = {}
        matched: set[str | None] = set()
        seen: set[int] = set()
        for owner_name, owner in module.named_modules():
            for name, parameter in owner.named_parameters(recurse=False):
                if not parameter.requires_grad or id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                full_name = f"{owner_name}.{name}" if owner_name else name
                key = self._custom_key(full_name)
                matched.add(key)
                decay_mult = self._decay_mult(owner, name, parameter)
                group = self._group(full_name, key, decay_mult, backbones)
                groups.setdefault(group, []).append(parameter)
        for key in self.paramwise_cfg.get("custom_keys", {}):
            if key not in matched:
                print_log(
                    f"paramwise_cfg.custom_keys[{key!r}] applies to no trainable parameter",
                    logger="current",
                    level=logging.WARNING,
                )
        for group in sorted(groups):
            members = groups[group]
            params.append(
                dict(params=members, lr=group.lr, weight_decay=group.weight_decay, name=group.name)
            )
        print_log(f"Parameter groups\n{_table(params)}", logger="current")

    def _group(
        self, name: str, key: str | None, decay_mult: float, backbones: dict[str, Backbone]
    ) -> _Group:
        layer, label, scale = AFTER_ALL_LAYERS, "rest of the model", 1.0
        for prefix, backbone in backbones.items():
            stem = f"{prefix}." if prefix else ""
            if name.startswith(stem):
                layer = backbone.layer_id(name.removeprefix(stem), self.paramwise_cfg["decay_type"])
                label = f"{prefix or 'backbone'} layer {layer}"
                scale = self._scale(name, layer, backbone)
        custom = self.paramwise_cfg.get("custom_keys", {}).get(key, {})
        if key is not None:
            label += f", {key!r}"
        weight_decay = self.base_wd * decay_mult * custom.get("decay_mult", 1.0)
        if weight_decay == 0 < self.base_wd:
            label += ", no decay"
        return _Group(layer, label, self.base_lr * scale * custom.get("lr_mult", 1.0), weight_decay)

    def _scale(self, name: str, layer: int, backbone: Backbone) -> float:
        if layer > backbone.num_layers:
            return 1.0
        num_layers = self.paramwise_cfg.get("num_layers", backbone.num_layers)
        scale = self.paramwise_cfg["decay_rate"] ** (num_layers + 1 - layer)
        if scale > 1:
            raise ValueError(
                f"paramwise_cfg.num_layers={num_layers} would give {name} {scale:.3g} times the "
                f"learning rate; this backbone has {backbone.num_layers} layers. "
                "Leave num_layers out"
            )
        return scale

    def _custom_key(self, name: str) -> str | None:
        keys = self.paramwise_cfg.get("custom_keys", {})
        # In mmengine's order: the longest first, then alphabetically.
        return next((k for k in sorted(keys, key=lambda k: (-len(k), k)) if k in name), None)

    def _decay_mult(self, owner: nn.Module, name: str, parameter: nn.Parameter) -> float:
        if isinstance(owner, NORMS):
            kind = "norm_decay_mult"
        elif name == "bias":
            kind = "bias_decay_mult"
        elif isinstance(owner, GRN) or parameter.ndim == 1:
            kind = "flat_decay_mult"
        else:
            return 1.0
        return self.paramwise_cfg.get(kind, DECAY_MULTS[kind])


def _check_names(where: str, given: Mapping, known: tuple[str, ...]) -> None:
    unknown = [repr(name) for name in given if name not in known]
    if unknown:
        raise ValueError(f"{where} accepts {', '.join(known)}, not {', '.join(unknown)}")


def _no_backbone(module: nn.Module) -> str:
    found = [
        type(m).__name__ for n, m in module.named_modules() if n.rpartition(".")[2] == "backbone"
    ]
    return (
        "ConvNeXtOptimWrapperConstructor needs a ConvNeXt in the model; "
        f"{type(module).__name__}'s backbone is {', '.join(found) or 'none'}. Remove "
        "optim_wrapper.constructor and paramwise_cfg, or build a ConvNeXt of this package"
    )


def _table(groups: list[dict]) -> str:
    table = Table(box=box.ASCII)
    table.add_column("group")
    for header in ("tensors", "parameters", "lr", "weight decay"):
        table.add_column(header, justify="right")
    for group in groups:
        table.add_row(
            group["name"],
            str(len(group["params"])),
            f"{sum(p.numel() for p in group['params']):,}",
            f"{group['lr']:.4g}",
            f"{group['weight_decay']:.4g}",
        )
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    return text.getvalue().rstrip()
