import pickle
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from convnext_dense.upstream import bitmap_masks

structures = pytest.importorskip("mmdet.structures.mask")


@pytest.fixture(scope="module")
def upstream():
    """``pad`` and ``crop_and_resize`` as mmdet has them, whatever was changed in this process."""
    spec = spec_from_file_location("structures_of_mmdet", structures.structures.__file__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    masks = module.BitmapMasks
    assert masks.pad.__module__ == masks.crop_and_resize.__module__ == "structures_of_mmdet"
    return masks.pad, masks.crop_and_resize


@pytest.fixture(autouse=True)
def mended():
    bitmap_masks.mend(structures.structures)


def discs(count=5, height=61, width=83):
    y, x = np.ogrid[:height, :width]
    rng = np.random.default_rng(0)
    centres = rng.integers((0, 0), (height, width), (count, 2))
    maps = [(y - cy) ** 2 + (x - cx) ** 2 < 800 for cy, cx in centres]
    return structures.BitmapMasks(np.array(maps, dtype=np.uint8), height, width)


def no_masks():
    return structures.BitmapMasks(np.empty((0, 6, 7), np.uint8), 6, 7)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("make", [discs, no_masks])
def test_padded_as_by_mmdet(upstream, make, value):
    expected = upstream[0](make(), (64, 96), value)
    padded = make().pad((64, 96), value)
    assert (padded.height, padded.width) == (64, 96)
    assert padded.masks.dtype == expected.masks.dtype
    np.testing.assert_array_equal(padded.masks, expected.masks)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("binarize", [True, False])
def test_pooled_as_by_mmdet(upstream, binarize, as_tensor):
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 50, (40, 2))
    boxes = np.hstack([corners, corners + rng.uniform(0, 40, (40, 2))]).astype(np.float32)
    boxes[0] = 10, 10, 10, 10
    objects = rng.integers(0, 5, 40)
    if as_tensor:
        boxes, objects = torch.from_numpy(boxes), torch.from_numpy(objects)
    expected = upstream[1](discs(), boxes, (28, 14), objects, binarize=binarize)
    pooled = discs().crop_and_resize(boxes, (28, 14), objects, binarize=binarize)
    assert (pooled.height, pooled.width) == (28, 14)
    assert pooled.masks.dtype == expected.masks.dtype
    assert 0.1 < expected.masks.mean() < 0.9
    np.testing.assert_allclose(
        pooled.masks.astype(np.float32), expected.masks.astype(np.float32), atol=1e-5
    )


@pytest.mark.parametrize("make", [discs, no_masks])
def test_without_rois_there_is_nothing(make):
    pooled = make().crop_and_resize(np.empty((0, 4), np.float32), (28, 28), np.empty(0, np.int64))
    assert pooled.masks.shape == (0, 28, 28)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_sends_what_it_has(start):
    ignored = discs()
    ignored.masks[0, 3, 5] = 255  # as the label of what is ignored
    truth = structures.BitmapMasks(discs().masks.astype(bool), 61, 83)
    sent = [discs(), no_masks(), ignored, truth]
    loader = DataLoader(
        sent, batch_size=2, num_workers=1, collate_fn=list, multiprocessing_context=start
    )
    received = [masks for batch in loader for masks in batch]
    for one, other in zip(received, sent, strict=True):
        assert type(one) is type(other)
        assert (one.height, one.width) == (other.height, other.width)
        assert one.masks.dtype == other.masks.dtype
        np.testing.assert_array_equal(one.masks, other.masks)


def test_an_array_is_not_copied():
    maps = discs().masks
    assert structures.BitmapMasks(maps, 61, 83).masks is maps
    listed = structures.BitmapMasks(list(maps), 61, 83)
    np.testing.assert_array_equal(listed.masks, maps)
    assert structures.BitmapMasks([], 61, 83).masks.shape == (0, 61, 83)
    with pytest.raises((AssertionError, ValueError)):
        structures.BitmapMasks(maps, 61, 82)


def test_a_worker_sends_a_bit_for_a_pixel():
    masks = discs(count=64)
    sent = len(ForkingPickler.dumps(masks))
    assert masks.masks.nbytes / 8 <= sent < masks.masks.nbytes / 7
    assert len(pickle.dumps(masks)) > masks.masks.nbytes  # elsewhere nothing is changed
