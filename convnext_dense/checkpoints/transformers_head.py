"""Rename the parameters of a head in transformers' own files as our models name them.

transformers renames and ties parameters when it reads and writes its files, so it reads them here
too: into a model of the head's own class, by whose names ours are ``head.NAME``.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from convnext_dense.checkpoints.compare_parameters import compare_parameters
from convnext_dense.checkpoints.find_convnext import FoundConvNeXt
from convnext_dense.checkpoints.source import read_source
from convnext_dense.checkpoints.unusable_values import refuse_unusable
from convnext_dense.text import many

# The part of our models that holds a model of transformers.
PREFIX = "head."


def transformers_head(model: nn.Module) -> Any:  # noqa: ANN401
    """Return the model of transformers in a detector or segmenter of ours, or None."""
    head = getattr(model, PREFIX.rstrip("."), None)
    return head if hasattr(type(head), "from_pretrained") else None


def other_parameters(model: nn.Module, found: FoundConvNeXt, path: str) -> dict[str, Tensor]:
    """Return what a checkpoint holds beside its ConvNeXt, by the names of a model.

    Args:
        model: The model that it is compared with.
        found: The ConvNeXt in the checkpoint, with its other parts.
        path: Prefix of the backbone in the model.
    """
    head = transformers_head(model)
    if head is None or any(name.startswith(PREFIX) for name in found.other_parts):
        return found.other_parameters(path)
    return head_parameters(head, found.other_parts)


def head_parameters(head: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:  # noqa: ANN401
    """Return the parameters of a file of transformers by the names of our models.

    Args:
        head: A model of transformers in one of ours; it is not changed.
        state: Parameters by the names in the file.

    Returns:
        What the head has, by our names, and what it does not have, by the names in the file. A
        parameter of another shape has the shape of the file, and no values.
    """
    with quietly():
        loaded, info = type(head).from_pretrained(
            None,
            config=head.config,
            state_dict=dict(state),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    values = loaded.state_dict()
    for name in info["missing_keys"]:
        values.pop(name, None)
    for name, shape, _ in info["mismatched_keys"]:
        values[name] = torch.empty(shape, device="meta")
    found = {PREFIX + name: value for name, value in values.items()}
    return found | {name: state[name] for name in info["unexpected_keys"] if name in state}


class TransformersWeights:
    """Initializer of mmengine's kind that loads a published head into a model of ours.

    What does not fit is left out, and named in the log: the old backbone, projections from other
    channels, heads for other classes.

    Args:
        checkpoint: Folder or hub id.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load what fits into the head of a detector or segmenter.

        Raises:
            OSError: If the weights could not be loaded.
            RuntimeError: If they are damaged or refused, or nothing of them fits.
        """
        read = read_source(self.checkpoint)
        head = transformers_head(module)
        given = head_parameters(head, read.state)
        wanted = {PREFIX + name: value for name, value in head.state_dict().items()}
        result = compare_parameters(given, wanted)
        if not result.fitting:
            raise RuntimeError(f"{read.name} has no parameter that fits a {type(head).__name__}")
        refuse_unusable(result.fitting, read.name, wanted)
        module.load_state_dict(result.fitting, strict=False)
        kept = f"{len(result.fitting)} of {len(wanted)} parameters of the head"
        lines = [f"{read.name}: {kept} loaded"]
        lines += [f"  left out: {one}" for one in _stems(result.unknown)]
        lines += [f"  of another shape: {name} {sizes}" for name, sizes in result.reshaped.items()]
        lines += [f"  not in the file: {name}" for name in result.missing]
        level = logging.INFO if len(lines) == 1 else logging.WARNING
        print_log("\n".join(lines), logger="current", level=level)


def _stems(names: Iterable[str]) -> list[str]:
    """Return the modules that names lie below, three deep, each with its number of names."""
    counts = Counter(".".join(name.split(".")[:3]) for name in names)
    return [f"{stem} ({many(count, 'parameter')})" for stem, count in counts.items()]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from printing reports and bars; its errors are still raised."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
