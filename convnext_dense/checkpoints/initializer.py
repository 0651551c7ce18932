"""The weights that a backbone's ``init_cfg`` names."""

from __future__ import annotations

import os
from typing import Any, Literal

from torch import nn

from convnext_dense.checkpoints.load import load_weights


class PublishedWeights:
    """mmengine's kind of initializer over :func:`.load_weights`, for the whole of a backbone.

    Args:
        checkpoint: Path, URL or hub id.
        prefix: As for :func:`.load_weights`, like the others.
        ema: Whether to take the moving averages.
        final_norm: What becomes of the norm before the classifier.
        adapt_input: Whether to fit a stem for another number of input channels.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike,
        prefix: str | None = None,
        ema: bool = False,
        final_norm: Literal["drop", "use"] = "drop",
        adapt_input: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.options: dict[str, Any] = dict(
            prefix=prefix, ema=ema, final_norm=final_norm, adapt_input=adapt_input
        )

    def __call__(self, module: nn.Module) -> None:
        """Load them into a backbone.

        Raises:
            RuntimeError: Where the file's parameters are not this network's.
        """
        load_weights(module, self.checkpoint, **self.options)
