"""The neck that imitates another network's maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convnext_dense.swap import PyramidAdapter

STRIDES = (4, 8, 16, 32)
CHANNELS = (4, 6, 8, 10)


def levels(height: int = 64, width: int = 96) -> list[Tensor]:
    sizes = [(-(-height // s), -(-width // s)) for s in STRIDES]
    return [torch.randn(2, c, h, w) for c, (h, w) in zip(CHANNELS, sizes, strict=True)]


def adapter(strides: list[int], sources: list[int], **kwargs: object) -> PyramidAdapter:
    channels = [3 + i for i in range(len(strides))]
    return PyramidAdapter(CHANNELS, STRIDES, channels, strides, sources, channels=8, **kwargs)


@pytest.mark.parametrize("size", [(64, 96), (61, 93)])
def test_strides_from_1_to_64(size):
    outputs = adapter([1, 2, 4, 16, 64], [0, 0, 0, 2, 3])(levels(*size))
    assert [y.shape[1] for y in outputs] == [3, 4, 5, 6, 7]
    covered = [-(-n // 4) * 4 for n in size]  # the finest level covers whole cells
    assert outputs[0].shape[2:] == (covered[0], covered[1])
    assert outputs[1].shape[2:] == (covered[0] // 2, covered[1] // 2)
    assert outputs[2].shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert outputs[3].shape[2:] == (-(-size[0] // 16), -(-size[1] // 16))
    assert outputs[4].shape[2:] == (-(-size[0] // 64), -(-size[1] // 64))


@pytest.mark.parametrize("output", range(4))
def test_each_output_hears_of_every_level_from_its_source_down(output):
    maps = [x.requires_grad_() for x in levels()]
    adapter([16] * 4, [0, 1, 2, 3])(maps)[output].sum().backward()
    assert [x.grad is not None for x in maps] == [level >= output for level in range(4)]


def test_every_parameter_gets_a_gradient():
    neck = adapter([2, 32, 64], [0, 3, 3])
    sum(y.square().sum() for y in neck(levels())).backward()
    assert all(p.grad.abs().sum() > 0 for p in neck.parameters())


def test_one_bare_map_in_evaluation():
    neck = adapter([8, 8, 8], [1, 1, 1], eval_output=1)
    maps = levels()
    trained = neck.train()(maps)
    assert isinstance(trained, tuple) and len(trained) == 3
    assert torch.equal(neck.eval()(maps), trained[1])


def test_class_tokens_are_the_means():
    for y, token in adapter([16] * 4, [0, 1, 2, 3], class_tokens=True)(levels()):
        assert torch.allclose(token, y.mean((2, 3)))


def test_a_place_that_nobody_reads_has_no_channels_and_no_parameters():
    neck = PyramidAdapter(CHANNELS, STRIDES, [0, 5], [4, 8], [0, 1], channels=8)
    assert [y.shape[1] for y in neck(levels())] == [0, 5]
    assert not [name for name, _ in neck.named_parameters() if name.startswith("output_convs.0")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(in_strides=(8, 4, 16, 32)), "ascending in_strides"),
        (dict(in_channels=(1, 2)), "one value for each level"),
        (dict(out_strides=[4]), "one value for each output"),
        (dict(sources=[0, 4]), "positions of the 4 levels"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    arguments = dict(
        in_channels=CHANNELS,
        in_strides=STRIDES,
        out_channels=[3, 4],
        out_strides=[4, 8],
        sources=[0, 1],
    )
    with pytest.raises(ValueError, match=message):
        PyramidAdapter(**{**arguments, **change})
