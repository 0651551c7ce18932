"""Flipped bytes in a checkpoint: refused, or the same parameters."""

import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convnext_dense.upstream.safe_checkpoint import read_checkpoint

STATE = dict(w=torch.arange(600.0).reshape(20, 30), half=torch.ones(7).half(), n=torch.tensor(3))
POSITIONS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=64)


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(dict(state_dict=STATE, meta=dict(epoch=3)), path)
    return path


def flip(data, position, bits):
    data[position % len(data)] ^= bits


@pytest.mark.parametrize("mmap", [False, True])
def test_every_flipped_bit_of_a_parameter_is_noticed(whole, mmap):
    data = whole.read_bytes()
    start = data.index(STATE["w"].numpy().tobytes())
    for position in range(start, start + 2400, 97):
        spoilt = bytearray(data)
        flip(spoilt, position, 1 << position % 8)
        whole.write_bytes(spoilt)
        with pytest.raises(RuntimeError, match=r"a\.pth is damaged: its record 'a/data/"):
            read_checkpoint(whole, "cpu", mmap=mmap)


@pytest.mark.slow
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=POSITIONS, mmap=st.booleans())
def test_damage_anywhere_is_refused_or_harmless(tmp_path, flips, mmap):
    path = tmp_path / "a.pth"
    torch.save(dict(state_dict=STATE, meta=dict(epoch=3)), path)
    spoilt = bytearray(path.read_bytes())
    for flipped in flips:
        flip(spoilt, *flipped)
    path.write_bytes(spoilt)
    try:
        loaded = read_checkpoint(path, "cpu", mmap=mmap)
    except RuntimeError as error:
        assert str(error).startswith(f"checkpoint {path} ")
        return
    assert loaded["meta"] == dict(epoch=3)
    assert list(loaded["state_dict"]) == list(STATE)
    for name, value in STATE.items():
        assert loaded["state_dict"][name].dtype == value.dtype
        assert torch.equal(loaded["state_dict"][name], value)


def test_a_file_without_checksums_loads(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_checkpoint(tmp_path / "a.pth")["w"], STATE["w"])


def test_a_file_that_was_packed_again_loads(whole, tmp_path):
    packed = tmp_path / "b.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(packed, "w", 8) as target:
        for record in source.namelist():
            target.writestr(record, source.read(record))
    for mmap in (False, True):
        assert torch.equal(read_checkpoint(packed, mmap=mmap)["state_dict"]["w"], STATE["w"])


def test_a_record_that_is_there_twice_is_refused(whole):
    with zipfile.ZipFile(whole, "a") as archive:
        name = next(name for name in archive.namelist() if "/data/" in name)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, bytes(2400))
    with pytest.raises(
        RuntimeError, match=rf"a\.pth is damaged: it has the record '{name}' 2 times"
    ):
        read_checkpoint(whole)
