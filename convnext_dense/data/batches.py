"""The batches that a training loader gives: none above the data set, and how many images each."""

from __future__ import annotations

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
    images = len(loader.dataset)
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
    batches = loader.batch_sampler
    sampler = getattr(batches, "sampler", loader.sampler)
    if getattr(batches, "drop_last", loader.drop_last) or "Infinite" in type(sampler).__name__:
        return size
    return len(sampler) % size or size


def _batch_size(loader: DataLoader) -> int:
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else 1  # a sampler of its own kind, which decides
