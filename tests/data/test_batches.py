"""How many images a training loader's batches hold."""

from __future__ import annotations

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader

from convnext_dense.data.batches import check_batch_size, smallest_batch


def loader(images: int, batch_size: int, infinite: bool = False, **kwargs: object) -> DataLoader:
    data = list(range(images))
    sampler = InfiniteSampler(data) if infinite else DefaultSampler(data)
    return DataLoader(data, batch_size, sampler=sampler, **kwargs)


@pytest.mark.parametrize("infinite", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
def test_a_batch_above_the_data_set_is_refused(infinite, drop_last):
    check_batch_size("train_dataloader", loader(7, 7, infinite, drop_last=drop_last))
    with pytest.raises(ValueError) as refused:
        check_batch_size("train_dataloader", loader(7, 8, infinite, drop_last=drop_last))
    assert str(refused.value) == (
        "train_dataloader.batch_size is 8, and the data set has 7 images: take 7 or fewer"
    )


def test_processes_share_the_data_set():
    check_batch_size("train_dataloader", loader(7, 3), processes=2)
    with pytest.raises(ValueError, match=r"is 4 in each of 2 processes, .* take 3 or fewer"):
        check_batch_size("train_dataloader", loader(7, 4), processes=2)
    check_batch_size("train_dataloader", loader(2, 1), processes=4)


@pytest.mark.parametrize("images", range(1, 9))
@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [True, False])
def test_the_smallest_batch_is_what_an_epoch_gives(images, batch_size, drop_last):
    made = loader(images, batch_size, drop_last=drop_last)
    sizes = [len(batch) for batch in made]
    if sizes:
        assert smallest_batch(made) == min(sizes)


def test_a_sampler_without_end_leaves_nothing_over():
    assert smallest_batch(loader(7, 2, infinite=True)) == 2
