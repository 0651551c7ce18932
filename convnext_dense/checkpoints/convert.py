"""Convert weights to the layout of another library, completely or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convnext_dense.checkpoints.arch_names import describe_arch
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt, find_convnext
from convnext_dense.checkpoints.layouts import META_ISOTROPIC, TARGETS, Layout
from convnext_dense.checkpoints.network import check_network
from convnext_dense.checkpoints.report import is_output_norm
from convnext_dense.checkpoints.source import read_source
from convnext_dense.checkpoints.unusable_values import refuse_unusable
from convnext_dense.files import ensure_writable, write_whole
from convnext_dense.text import first_of

# Layouts of backbones in models of mmdet and mmseg, under the prefix `backbone.`.
WHOLE_TARGETS = ("meta", "mmpretrain")
SUFFIXES = (".safetensors", ".pth")
# Ends of the names of tensors that are never integers.
REAL = (".weight", ".bias", ".running_mean", ".running_var")


@dataclass(frozen=True)
class Conversion:
    """Result of a conversion.

    Attributes:
        source: Layout of the source.
        target: Layout of the written file.
        written: Names in the written file.
        left_out: Names in the source that were left out: the target has no place or use for them.
    """

    source: str
    target: str
    written: tuple[str, ...]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.source} -> {self.target}: {len(self.written)} parameters"
        return text + (f"; left out: {first_of(self.left_out)}" if self.left_out else "")


def convert(
    source: str | os.PathLike | Mapping,
    out: str | os.PathLike,
    to: str = "meta",
    *,
    prefix: str | None = None,
    ema: bool = False,
    trust: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Write the weights of a source to a file in another layout, the classifier included.

    Args:
        source: As for :func:`~convnext_dense.checkpoints.load_weights`.
        out: Path of the new file, which ends in ``.safetensors`` or ``.pth``.
        to: ``meta``, ``timm``, ``torchvision``, ``transformers`` or ``mmpretrain``. A whole
            detector or segmenter goes to ``meta`` or ``mmpretrain``, an isotropic network to
            ``meta``.
        prefix: Take only the names below it.
        ema: Whether to take the moving averages.
        trust: Whether to unpickle a file that holds more than parameters and plain data.
        overwrite: Whether ``out`` may exist.

    Raises:
        FileExistsError: If ``out`` exists.
        OSError: If the source could not be loaded, or ``out`` could not be written.
        RuntimeError: If the source is damaged, refused, incomplete or another network.
        ValueError: If ``out`` has another ending, or the layout cannot hold the network.
    """
    out = Path(out)
    if to not in TARGETS:
        raise ValueError(f"there is no layout {to!r} to write, choose one of {', '.join(TARGETS)}")
    if out.suffix not in SUFFIXES:
        raise ValueError(f"{out} ends in neither of {', '.join(SUFFIXES)}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: `overwrite=True` replaces it")
    ensure_writable(out)
    read = read_source(source, prefix=prefix, trust=trust, ema=ema)
    found = find_convnext(read.state, read.name)
    check_network(found, read.name)
    refuse_unusable({n: v for n, v in found.other_parts.items() if _is_real(n, v)}, read.name)

    layout = _target(to, found)
    names = layout.names(found.arch.depths)
    own = {
        name: value
        for name, value in found.own.items()
        if name in names or not _is_spare(name, layout)
    }
    if found.other_parts:
        if to not in WHOLE_TARGETS:
            raise ValueError(
                f"{read.name} is a whole model, which converts only to "
                f"{' or '.join(WHOLE_TARGETS)}: `prefix={found.prefix.rstrip('.')!r}` converts its "
                "backbone"
            )
        written = layout.write(own, found.arch)
        if to == "meta":
            written = {f"backbone.{name}": value for name, value in written.items()}
        written |= found.other_parameters("backbone.")
        content: dict[str, Any] = dict(meta=dict(read.meta), state_dict=written)
    else:
        written = layout.write(own, found.arch)
        content = {layout.wrapper: written} if layout.wrapper else written
    # Copy each tensor: saving a view would save all of the memory behind it.
    written |= {name: value.clone().contiguous() for name, value in written.items()}
    # Encode in memory first: the errors of both libraries do not say why writing failed.
    is_safetensors = out.suffix == ".safetensors"
    write_whole(out, _safetensors(written) if is_safetensors else _pth(content))
    left_out = [name for our, name in found.names.items() if our not in own]
    return Conversion(found.layout.name, layout.name, tuple(written), (*left_out, *found.unused))


def _target(to: str, found: FoundConvNeXt) -> Layout:
    """Return the layout to write; Meta has one of its own for isotropic networks."""
    if not found.arch.isotropic:
        return TARGETS[to]
    if to != "meta":
        raise ValueError(
            f"{describe_arch(found.arch)} is isotropic, which {to} has no network for: it converts "
            "to 'meta' alone"
        )
    return TARGETS[to] if found.other_parts else META_ISOTROPIC


def _is_real(name: str, value: Tensor) -> bool:
    """Whether a head's tensor must hold real numbers. Buffers may hold counts or indices."""
    return value.is_floating_point() or name.endswith(REAL)


def _is_spare(name: str, layout: Layout) -> bool:
    """Whether a parameter may be left out where a layout has no place for it."""
    if name.startswith("norm."):
        return not layout.final_norm_is_last
    return is_output_norm(name) or name.startswith("head.")


def _pth(content: Mapping) -> memoryview:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()


def _safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError:
        raise ImportError(
            "writing .safetensors needs safetensors: pip install safetensors"
        ) from None
    return save(dict(tensors), metadata={"format": "pt"})
