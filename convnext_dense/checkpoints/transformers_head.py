"""Give the parameters of a head in transformers' own files the names of our models.

transformers renames and ties parameters when it reads and writes its files, so it reads them here
too: into a model of the head's own class, by whose names ours are ``head.NAME``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from convnext_dense.checkpoints.find_convnext import FoundConvNeXt

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
