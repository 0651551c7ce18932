"""Non-maximum suppression and its matching variant, as ``mmcv._ext`` defines them."""

from __future__ import annotations

import torch
from torch import Tensor

from convnext_dense.upstream.ops.torchvision_ops import torchvision_ops

# Boxes that are decided together. A larger block computes overlaps of boxes that are already
# suppressed, a smaller one needs more calls.
BLOCK = 128


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Suppress boxes that overlap a box of a higher score (greedy non-maximum suppression).

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,). Equal scores keep the order of the input.
        iou_threshold: a box goes if its IoU with a kept box of a higher score exceeds this.
        offset: 0 or 1, added to every width and height.

    Returns:
        Indices of the kept boxes by falling score, int64 of shape (K,).
    """
    if boxes.dtype in (torch.half, torch.bfloat16):
        boxes = boxes.float()
    torchvision = torchvision_ops(boxes.device)
    if torchvision is not None:
        # torchvision has no offset; moving the far corner by it gives the same widths.
        far_corner = boxes.new_tensor([0, 0, offset, offset])
        return torchvision.nms(boxes + far_corner, scores.to(boxes.dtype), iou_threshold)

    rest = scores.sort(descending=True, stable=True).indices
    kept = []
    while len(rest):
        block, rest = rest[:BLOCK], rest[BLOCK:]
        block = block[_greedy(pairwise_iou(boxes[block], boxes[block], offset) > iou_threshold)]
        kept.append(block)
        if len(rest):
            overlaps = pairwise_iou(boxes[block], boxes[rest], offset) > iou_threshold
            rest = rest[~overlaps.any(dim=0)]
    return torch.cat(kept) if kept else rest


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Suppress boxes that overlap a box of a higher score, and return which box suppressed which.

    Args:
        dets: (N, 5) as x1, y1, x2, y2, score.
        iou_threshold: a box joins the first group whose leader it overlaps at least this much.

    Returns:
        One list for each kept box: its index, then those it suppressed, by falling score.
    """
    boxes, scores = dets[:, :4], dets[:, 4]
    rest = scores.sort(descending=True, stable=True).indices
    groups = []
    while len(rest):
        leader, rest = rest[:1], rest[1:]
        joins = pairwise_iou(boxes[leader], boxes[rest], 0)[0] >= iou_threshold
        groups.append(torch.cat([leader, rest[joins]]).tolist())
        rest = rest[~joins]
    return groups


def pairwise_iou(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Return the IoU of (M, 4) boxes with (N, 4) boxes, (M, N); 0/0 is NaN, as in mmcv."""
    x1, y1, x2, y2 = first.t().unsqueeze(2)
    u1, v1, u2, v2 = second.t().contiguous().unsqueeze(1)
    width = torch.min(x2, u2).sub_(torch.max(x1, u1)).add_(offset).clamp_(min=0)
    height = torch.min(y2, v2).sub_(torch.max(y1, v1)).add_(offset).clamp_(min=0)
    inter = width.mul_(height)
    area1 = (x2 - x1 + offset) * (y2 - y1 + offset)
    area2 = (u2 - u1 + offset) * (v2 - v1 + offset)
    # Not `inter > threshold * union`, which rounds in another way and so keeps other boxes.
    return inter.div_((area1 + area2).sub_(inter))


def _greedy(overlaps: Tensor) -> Tensor:
    """Return a mask of the boxes that greedy suppression keeps, from (N, N) overlaps by score.

    A box is kept if no kept box before it overlaps it. Each round decides at least one more box,
    from the front, so this needs at most N rounds, and usually only a few.
    """
    conflicts = overlaps.triu(diagonal=1).float()
    keep = conflicts.new_ones(len(conflicts))
    while True:
        update = (keep @ conflicts == 0).float()
        if torch.equal(update, keep):
            return keep.bool()
        keep = update
