"""A file that a training resumes from has what mmengine takes, or is refused by the key."""

from __future__ import annotations

import pytest
import torch

from convnext_dense.checkpoints.resumable import require_resumable


@pytest.fixture
def checkpoint():
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    return dict(meta=dict(iter=1, epoch=0), state_dict={}, message_hub=hub)


def test_a_whole_state_goes_through(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / "iter_1.pth")
    assert require_resumable(tmp_path / "iter_1.pth") == checkpoint


@pytest.mark.parametrize("value", [None, "text", -1, True, float("nan"), 10**30, []])
@pytest.mark.parametrize("key", ["meta.iter", "meta.epoch"])
def test_steps_are_numbers(checkpoint, tmp_path, key, value):
    checkpoint["meta"][key.removeprefix("meta.")] = value
    torch.save(checkpoint, tmp_path / "iter_1.pth")
    with pytest.raises(RuntimeError, match=rf"iter_1\.pth .*{key} is not a whole number"):
        require_resumable(tmp_path / "iter_1.pth")


@pytest.mark.parametrize("part", ["log_scalars", "runtime_info", "resumed_keys"])
def test_what_the_message_hub_needs(checkpoint, tmp_path, part):
    del checkpoint["message_hub"][part]
    torch.save(checkpoint, tmp_path / "iter_1.pth")
    with pytest.raises(RuntimeError, match=rf"message_hub\.{part} is not a dict"):
        require_resumable(tmp_path / "iter_1.pth")
