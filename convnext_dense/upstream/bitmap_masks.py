"""Masks of the ground truth without unnecessary copies.

Fault: mmdet 3.3.0's ``BitmapMasks`` holds a map of the image's size, a byte per pixel, for each
object, and copies it more often than it needs to.
Reach: ``BitmapMasks`` of mmdet, for all code in the process, from the start of a run on. The values
stay the same; a given array is shared, where mmdet copies it.
Off-switch: its name.
End: when mmdet does the same.

- ``__init__`` copies a given array, after every transform.
- Workers send the maps through a pipe as they are, some 10 MB an image, and the trainer waits.
- ``pad`` copies each map twice.
- ``crop_and_resize`` copies the map of an object, in float32, for each RoI that is assigned to it:
  up to 128 x 800 x 1333 x 4 bytes an image.

Here a given array is used as it is, one bit per pixel is sent, ``pad`` copies once, and RoIs pool
from one copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from mmdet.structures.mask import BitmapMasks


def mend(module: ModuleType) -> None:
    """Mend the ``BitmapMasks`` of ``mmdet.structures.mask.structures``; safe to repeat."""
    masks = module.BitmapMasks
    if not hasattr(masks.__init__, "__wrapped__"):
        masks.__init__ = _without_copy(masks.__init__)
    masks.pad = _pad
    masks.crop_and_resize = _crop_and_resize
    ForkingPickler.register(masks, _reduce)


def _without_copy(init: Callable) -> Callable:
    @functools.wraps(init)
    def wrapped(
        self: BitmapMasks, masks: np.ndarray | list[np.ndarray], height: int, width: int
    ) -> None:
        if isinstance(masks, np.ndarray) and masks.shape[1:] == (height, width):
            self.masks, self.height, self.width = masks, height, width
        else:
            init(self, masks, height, width)

    return wrapped


def _reduce(masks: BitmapMasks) -> tuple:
    maps = masks.masks
    if maps.size and (maps.dtype != np.uint8 or maps.max() > 1):
        return masks.__reduce_ex__(2)
    return _unpack, (type(masks), np.packbits(maps), maps.shape)


def _unpack(kind: type[BitmapMasks], bits: np.ndarray, shape: tuple[int, int, int]) -> BitmapMasks:
    maps = np.unpackbits(bits, count=np.prod(shape)).reshape(shape)
    return kind(maps, *shape[1:])


def _pad(self: BitmapMasks, out_shape: tuple[int, int], pad_val: int = 0) -> BitmapMasks:
    maps = np.full((len(self.masks), *out_shape), pad_val, dtype=self.masks.dtype)
    maps[:, : self.height, : self.width] = self.masks
    return type(self)(maps, *out_shape)


def _crop_and_resize(
    self: BitmapMasks,
    bboxes: np.ndarray | Tensor,
    out_shape: tuple[int, int],
    inds: np.ndarray | Tensor,
    device: str | torch.device = "cpu",
    interpolation: str = "bilinear",
    binarize: bool = True,
) -> BitmapMasks:
    from mmcv.ops import roi_align

    if len(self.masks) == 0 or len(bboxes) == 0:
        return type(self)(np.empty((0, *out_shape), dtype=np.uint8), *out_shape)
    maps = torch.from_numpy(self.masks).to(device).float().unsqueeze(1)
    rois = torch.cat(
        [torch.as_tensor(each, device=device).float() for each in (inds[:, None], bboxes)], dim=1
    )
    pooled = roi_align(maps, rois, out_shape, 1.0, 0, "avg", True).squeeze(1)
    return type(self)((pooled >= 0.5 if binarize else pooled).cpu().numpy(), *out_shape)
