"""What stands between a model of ours and a head of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

Size = tuple[int, int]


class Translation(Protocol):
    """Translates inputs and outputs of one head, which it is built with.

    Attributes:
        positions_key: Key of the head's config that says how many positions of the maps it selects;
            None if it selects none.
    """

    positions_key: str | None

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


def check_positions(maps: Sequence[Tensor], config: PreTrainedConfig, key: str) -> None:
    """Check that maps have enough positions for the queries that a head selects from them.

    Args:
        maps: Maps (N, C, H, W), the coarsest last.
        config: That of the head, which makes further levels by halving the last map.
        key: Its key that says how many positions are selected.

    Raises:
        ValueError: If there are fewer.
    """
    sizes = [tuple(one.shape[-2:]) for one in maps]
    while len(sizes) < config.num_feature_levels:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    positions = sum(height * width for height, width in sizes)
    needed = getattr(config, key)
    if positions < needed:
        listed = ", ".join(f"{height}x{width}" for height, width in sizes)
        raise ValueError(
            f"the head takes {needed} queries from the positions of the maps, and these are "
            f"{positions} ({listed}): set head.{key} to {positions} or less, or take larger "
            "images"
        )
