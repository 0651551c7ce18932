"""Sigmoid focal loss without a compiled mmcv.

Fault: mmcv-lite has the Python half of ``mmcv.ops.sigmoid_focal_loss`` and not the functions of
``mmcv._ext`` that it calls; a compiled mmcv has them for CUDA alone. Can go when mmcv ships an
operator that needs no compiler.

Two differences from the compiled version, both on purpose. It rounds ``1 - p`` to zero and clamps
it before the logarithm, so that its loss jumps from 17 to 87 where a float32 logit passes 17; this
one stays exact for every logit. With ``weight`` it reads past the end for background rows; here
they count once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the focal loss of every logit into ``output``.

    Args:
        input: Logits, (N, classes).
        target: Class of each row, (N,). Any other number, as the number of classes for background
            or a negative one, makes the row negative for every class.
        weight: A factor per class, (classes,), applied to the rows of that class; empty for none.
        output: (N, classes).
        gamma: Focusing exponent.
        alpha: Weight of the positives; the negatives have ``1 - alpha``.

    Raises:
        ValueError: If a target is larger than the number of classes.
    """
    if target.numel() and target.max() > input.shape[1]:
        raise ValueError(
            f"sigmoid_focal_loss: target holds {int(target.max())}, expected at most "
            f"{input.shape[1]}, the number of classes, which stands for background"
        )
    logits, _, scale = _towards_target(input, target, weight, alpha)
    output.copy_(-scale * torch.sigmoid(-logits) ** gamma * F.logsigmoid(logits))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of every logit's loss into ``grad_input`` (N, classes)."""
    logits, sign, scale = _towards_target(input, target, weight, alpha)
    wrong = torch.sigmoid(-logits)
    slope = wrong**gamma * (wrong - gamma * torch.sigmoid(logits) * F.logsigmoid(logits))
    grad_input.copy_(-sign * scale * slope)


def _towards_target(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits of the right answer, their sign, and the factor of each loss.

    The loss of a negative is the loss of a positive with the opposite logit.
    """
    logits = input.to(torch.promote_types(input.dtype, torch.float32))
    classes = torch.arange(input.shape[1], device=input.device)
    positive = target[:, None] == classes
    sign = torch.full_like(logits, -1.0).masked_fill_(positive, 1.0)
    scale = torch.full_like(logits, 1 - alpha).masked_fill_(positive, alpha)
    if weight.numel():
        of_row = torch.where(positive, weight.to(logits.dtype), 0).sum(1, keepdim=True)
        scale = scale * torch.where(positive.any(1, keepdim=True), of_row, 1)
    return logits * sign, sign, scale
