"""Check the size of the batches that a training loader makes."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

from torch.utils.data import DataLoader


def check_batch_size(key: str, loader: DataLoader, processes: int = 1) -> None:
    """Refuse batches that are larger than the data set.

    An infinite sampler would repeat images within a batch or never finish one, and a loader that
    drops incomplete batches would return none.

    Args:
        key: The loader's key in the config.
        loader: The loader of one process.
        processes: Number of processes that share the images.

    Raises:
        ValueError: If the batch is too large; the message states both sizes.
    """
    images = len(cast(Sized, loader.dataset))
    if _batch_size(loader) * processes > max(images, processes):
        across = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"{key}.batch_size is {_batch_size(loader)}{across}, and the data set has {images} "
            f"images: take {max(1, images // processes)} or fewer"
        )


def smallest_batch(loader: DataLoader) -> int:
    """Return the number of images in the smallest batch of a loader.

    The last batch of an epoch may be smaller, unless the loader drops it or the sampler is
    infinite.
    """
    size = _batch_size(loader)
    if getattr(loader.batch_sampler, "drop_last", loader.drop_last) or is_endless(loader):
        return size
    return len(_sampler(loader)) % size or size


def is_endless(loader: DataLoader) -> bool:
    """Whether a loader's sampler is infinite."""
    return "Infinite" in type(_sampler(loader)).__name__


def _sampler(loader: DataLoader) -> Sized:
    return cast(Sized, getattr(loader.batch_sampler, "sampler", loader.sampler))


def _batch_size(loader: DataLoader) -> int:
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else 1  # a custom batch sampler decides the size
