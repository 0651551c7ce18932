"""The losses of transformers' box heads: eager, in float32, and those of one batch on all ranks."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch.utils._pytree import tree_map_only
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.loss import loss_d_fine

from convnext_dense.heads.transformers.denoising import Denoising, Labels

# D-FINE's distillation divides by roots of counts, so that no one factor fits; see RankDFineLoss.
_OWN_RANKS = "loss_ddf"


class BoxLoss:
    """Call a head's own loss function, with what it leaves open.

    It is not compiled, since its matcher leaves torch. It computes in float32 under autocast, too.
    Losses are weighed as in their total. With several ranks they are divided by the boxes of all,
    as transformers does only under accelerate, and not in the RT-DETR family.

    Args:
        head: The model of transformers, before this object becomes its ``loss_function``.
        denoising: Its denoising queries, or None.
    """

    def __init__(self, head: PreTrainedModel, denoising: Denoising | None) -> None:
        self._denoising = denoising
        self._own = head.loss_function
        if self._own is loss_d_fine.DFineForObjectDetectionLoss:
            self._own = _with_globals(self._own, DFineLoss=RankDFineLoss)

    @torch.compiler.disable
    def __call__(
        self, logits: Tensor, labels: Labels, *args: object, **kwargs: object
    ) -> tuple[Tensor, dict[str, Tensor], object]:
        """Return the total, the losses by name, and what transformers returns as the third."""
        if self._denoising is not None:
            kwargs["denoising_meta_values"] = self._denoising.meta
        with torch.autocast(logits.device.type, enabled=False):
            given = tree_map_only(Tensor, _at_least_float32, (logits, args, kwargs))
            logits, args, kwargs = given
            _, losses, third = self._own(logits, labels, *args, **kwargs)
        config = args[2]
        factor = _share(labels, logits.device)
        losses = {
            name: loss * _weight(name, config) * (1 if name.startswith(_OWN_RANKS) else factor)
            for name, loss in losses.items()
        }
        return sum(losses.values()), losses, third


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _weight(name: str, config: PreTrainedConfig) -> float:
    """Return the weight of a loss in its total, where transformers returns it without."""
    if name.startswith("loss_bbox"):
        return getattr(config, "bbox_loss_coefficient", 1)
    if name.startswith("loss_giou"):
        return getattr(config, "giou_loss_coefficient", 1)
    return 1


def _share(labels: Labels, device: torch.device) -> float:
    """Return the factor by which losses per box of this rank become those per box of all.

    The gradients of the ranks are averaged, so that the factor has the number of ranks in it.
    """
    ranks = get_world_size()
    if ranks == 1:
        return 1
    own = sum(len(one["class_labels"]) for one in labels)
    boxes = torch.tensor(float(own), device=device)
    all_reduce(boxes)
    return ranks * max(own, 1) / max(float(boxes), 1)


class RankDFineLoss(loss_d_fine.DFineLoss):
    """D-FINE's losses, whose distillation is that of one batch on all ranks."""

    def loss_local(
        self,
        outputs: dict[str, Tensor],
        targets: Labels,
        indices: list[tuple[Tensor, Tensor]],
        num_boxes: float,
        T: int = 5,
    ) -> dict[str, Tensor]:
        """Return the losses of edges: those per box of this rank, the distillation of all."""
        losses = super().loss_local(outputs, targets, indices, num_boxes, T)
        if "loss_ddf" in losses and get_world_size() > 1:
            losses["loss_ddf"] = self._distillation(outputs, targets, indices, T)
        return losses

    def _distillation(
        self, outputs: dict[str, Tensor], targets: Labels, indices: list, temperature: int
    ) -> Tensor:
        """Join the means over matched and other queries, each weighed by the root of its count."""
        matched = torch.zeros_like(outputs["logits"][..., 0], dtype=torch.bool)
        matched[self._get_source_permutation_idx(indices)] = True
        order = torch.cat([row[chosen] for row, chosen in _rows(matched, indices)])
        boxes = torch.cat([one["boxes"][found] for one, (_, found) in zip(targets, indices)])  # noqa: B905
        counts = torch.stack([matched.sum(), (~matched).sum()]).float()
        totals = counts.clone()
        all_reduce(totals)
        roots = totals.sqrt()
        parts = [
            (_only(outputs, order), boxes),
            (_only(outputs, (~matched).flatten().nonzero()[:, 0]), boxes[:0]),
        ]
        loss = outputs["pred_corners"].sum() * 0
        for (part, truth), count, root in zip(parts, counts, roots, strict=True):
            if count:
                every = torch.arange(len(truth), device=truth.device)
                mean = super().loss_local(
                    part, [dict(boxes=truth)], [(every, every)], 1, temperature
                )
                loss = loss + mean["loss_ddf"] * count / root
        return loss * get_world_size() / roots.sum()


def _rows(matched: Tensor, indices: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Return for each image the places of its queries among all, and those that are matched."""
    places = torch.arange(matched.numel(), device=matched.device).view_as(matched)
    return [(row, chosen) for row, (chosen, _) in zip(places, indices, strict=True)]


def _only(outputs: dict[str, Tensor], places: Tensor) -> dict[str, Tensor]:
    """Return outputs of some queries (N, Q, ...) as those of one image (1, places, ...)."""
    return {name: value.flatten(0, 1)[places][None] for name, value in outputs.items()}


def _with_globals(function: FunctionType, **names: Any) -> FunctionType:
    """Return a function with other values of some globals; its module stays untouched."""
    changed = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed
