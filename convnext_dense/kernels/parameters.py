"""The parameters of a block, as one tuple for each of its halves."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from convnext_dense.kernels.packed_weights import PackedWeights


class ConvNormParameters(NamedTuple):
    """Parameters of a block's first half, for C channels.

    Attributes:
        conv_weight: Depthwise weight, (C, 1, k, k), k odd.
        conv_bias: (C,).
        norm_weight: (C,).
        norm_bias: (C,).
        dilation: Distance between the taps of the convolution.
        eps: Added to the variance by the norm.
    """

    conv_weight: Tensor
    conv_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    dilation: int
    eps: float

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors among the fields, in their order."""
        return self[:4]


class MLPParameters(NamedTuple):
    """Parameters of a block's second half, for C channels.

    Attributes:
        w1: Weight of the first linear layer, (4C, C).
        b1: (4C,).
        w2: Weight of the second linear layer, (C, 4C).
        b2: (C,).
        gamma: Layer scale, (C,), or None for none.
        grn_weight: Of the global response normalisation (GRN) of a V2 block, (4C,), or None.
        grn_bias: Like ``grn_weight``.
        grn_eps: Added to the mean response.
        packed: Where a fast path may keep ``w1`` and ``w2`` in another layout, or None.
    """

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    gamma: Tensor | None = None
    grn_weight: Tensor | None = None
    grn_bias: Tensor | None = None
    grn_eps: float = 0.0
    packed: PackedWeights | None = None

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors among the fields, in their order."""
        return self[:7]

    @property
    def grn(self) -> tuple[Tensor, Tensor, float] | None:
        """Weight, bias and eps of GRN, or None for a V1 block."""
        if self.grn_weight is None or self.grn_bias is None:
            return None
        return self.grn_weight, self.grn_bias, self.grn_eps


class BlockFunctions(Protocol):
    """The functions that compute a block: those of ``reference``, and of each fast path."""

    def conv_norm(self, x: Tensor, parameters: ConvNormParameters, dtype: torch.dtype) -> Tensor:
        """Compute the first half of a block."""

    def mlp(self, shortcut: Tensor, y: Tensor, parameters: MLPParameters, scale: float) -> Tensor:
        """Compute the second half of a block."""
