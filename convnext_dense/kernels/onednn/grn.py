"""Global response normalisation (arXiv 2301.00808, section 3.3) of one sample's hidden map.

With r the norm of each channel over the positions and s = r / (mean of r over the channels + eps),
the result is a * (1 + weight * s) + bias, for the map a after the GELU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Elements that are squared at a time.
_SQUARES = 2**18


def channel_response(parts: Sequence[Tensor]) -> Tensor:
    """Return r: the norm of each channel over the rows of all parts, in float32."""
    # torch.linalg.vector_norm over rows takes ten times as long. Small pieces, since memory that is
    # taken anew costs more than the arithmetic.
    rows = max(_SQUARES // parts[0].shape[1], 1)
    squares = [piece.float().square().sum(0) for part in parts for piece in part.split(rows)]
    return torch.stack(squares).sum(0).sqrt()


def grn_factor(response: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return what each channel is multiplied with, 1 + weight * s, and s."""
    relative = response / (response.mean() + eps)
    return 1 + weight * relative, relative


def response_slope(grad_relative: Tensor, response: Tensor, eps: float) -> Tensor:
    """Return the gradient of a through r, as what each channel of a is multiplied with.

    Args:
        grad_relative: The gradient of s.
        response: r.
        eps: As in :func:`grn_factor`.
    """
    mean = response.mean() + eps
    through_mean = (grad_relative * response).sum() / (mean * mean * response.numel())
    grad_response = grad_relative / mean - through_mean
    return torch.where(response > 0, grad_response / response, 0.0)
