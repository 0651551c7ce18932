"""The batches that a training loader gives: none above the data set, and how many images each."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

from torch.utils.data import DataLoader


def check_batch_size(key: str, loader: DataLoader, processes: int = 1) -> None:
    """Refuse a batch of more images than there are.

    A sampler without end would repeat images within a batch, or never come to the end of one; a
    loader that drops what is left would give none.

    Args:
        key: The loader's key in the config.
        loader: Of one process.
        processes: Among how many the images are divided.

    Raises:
        ValueError: Naming both numbers.
    """
    images = len(cast(Sized, loader.dataset))
    if _batch_size(loader) * processes > max(images, processes):
        across = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"{key}.batch_size is {_batch_size(loader)}{across}, and the data set has {images} "
            f"images: take {max(1, images // processes)} or fewer"
        )


def smallest_batch(loader: DataLoader) -> int:
    """Return the number of images of the smallest batch that a loader gives.

    What an epoch leaves over is a smaller one, unless the loader drops it or its sampler has no
    end.
    """
    size = _batch_size(loader)
    if getattr(loader.batch_sampler, "drop_last", loader.drop_last) or is_endless(loader):
        return size
    return len(_sampler(loader)) % size or size


def is_endless(loader: DataLoader) -> bool:
    """Return whether a loader goes on with the first images after the last one."""
    return "Infinite" in type(_sampler(loader)).__name__


def _sampler(loader: DataLoader) -> Sized:
    return cast(Sized, getattr(loader.batch_sampler, "sampler", loader.sampler))


def _batch_size(loader: DataLoader) -> int:
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else 1  # a sampler of its own kind, which decides
