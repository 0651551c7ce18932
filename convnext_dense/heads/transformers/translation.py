"""What stands between a model of ours and a head of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

Size = tuple[int, int]


class Translation(Protocol):
    """Translates inputs and outputs of one head, which it is built with.

    Attributes:
        positions_needed: How many positions of the maps the head selects; 0 if it selects none.
    """

    positions_needed: int

    def targets(self, samples: Sequence[BaseDataElement], images: Tensor) -> Mapping[str, Any]:
        """Return the arguments of the head that hold what is to be found in a batch (N, C, H, W).

        Raises:
            ValueError: If the samples lack what the head needs.
        """

    def losses(self, outputs: ModelOutput) -> dict[str, Tensor]:
        """Return the losses that the head computed, weighed, by their names in transformers."""

    def results(
        self,
        outputs: ModelOutput,
        samples: Sequence[BaseDataElement],
        images: Tensor,
        rescale: bool,
        most: int | None,
    ) -> list[InstanceData]:
        """Return what a detector found in each image, the highest score first.

        Args:
            outputs: What the head returned.
            samples: The images, with ``scale_factor`` if ``rescale``.
            images: The batch (N, C, H, W).
            rescale: Whether results are in pixels of the original images, instead of the batch.
            most: The number of results; None means what transformers returns.
        """


def load_translation(name: str, head: PreTrainedModel) -> Any:  # noqa: ANN401
    """Build a :class:`Translation` or ``LabelMaps`` from ``module.Class`` in this package."""
    module, _, kind = name.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), kind)(head)


def image_sizes(samples: Iterable[BaseDataElement]) -> list[Size]:
    """Return height and width of each image in a batch, without its padding."""
    return [tuple(sample.metainfo["img_shape"][:2]) for sample in samples]


def pixel_mask(samples: Sequence[BaseDataElement], images: Tensor) -> Tensor | None:
    """Return which pixels of a batch (N, C, H, W) belong to images, (N, H, W); None if all do."""
    sizes = image_sizes(samples)
    if all(size == tuple(images.shape[-2:]) for size in sizes):
        return None
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    masks = [(rows[:, None] < height) & (columns < width) for height, width in sizes]
    return torch.stack(masks).long()


def check_positions(maps: Sequence[Tensor], needed: int, levels: int) -> None:
    """Check that maps have enough positions for the queries that a head selects from them.

    Args:
        maps: Maps (N, C, H, W), the coarsest last.
        needed: Positions that are selected.
        levels: Levels of the head; further ones are made by halving the last map.

    Raises:
        ValueError: If there are fewer.
    """
    sizes = [tuple(one.shape[-2:]) for one in maps]
    while len(sizes) < levels:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    positions = sum(height * width for height, width in sizes)
    if positions < needed:
        listed = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ValueError(
            f"the head takes {needed} queries from the positions of the maps, and these are "
            f"{positions} ({listed}): set head.num_queries to {positions} or less, or take larger "
            "images"
        )
