"""The newest whole checkpoint of a run's own folder."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from convnext_dense.checkpoints.latest import checkpoint_folder, find_latest, latest_checkpoint


def save(folder, name, step, **changes):
    folder.mkdir(exist_ok=True)
    meta = dict(iter=step, epoch=0)
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    content = dict(meta=meta, message_hub=hub, state_dict=dict(a=torch.ones(1000))) | changes
    torch.save(content, folder / name)
    time = 1_000_000 + step
    os.utime(folder / name, (time, time))


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints and a best one, of a run that lies elsewhere by now."""
    run = tmp_path / "run"
    for step in (2, 4, 10):
        save(run, f"iter_{step}.pth", step)
    save(run, "best_mIoU_iter_11.pth", 11)
    save(run, "iter_4-0123abcd.pth", 12)  # published
    original = tmp_path / "original"
    shutil.copytree(run, original)
    save(original, "iter_12.pth", 12)
    (run / "last_checkpoint").write_text(str(original / "iter_10.pth"))
    return run


def name(folder):
    return find_latest(folder).path.name


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (None, ""),
        (b"", "does not name a checkpoint"),
        (b"\x00\xff\x80binary", "does not name a checkpoint"),
        pytest.param(b"x" * 5000, "does not name a checkpoint", id="long"),
        pytest.param(b"x" * 5000 + b".pth", "does not name a checkpoint", id="long name"),
        (b"iter_3.pth", "names iter_3.pth, which is not in"),
        (b"/somewhere/else/iter_3.pth", "names iter_3.pth, which is not in"),
        (b"../original/iter_12.pth", "names iter_12.pth, which is not in"),
        (b"..", "does not name a checkpoint"),
    ],
)
def test_a_record_of_no_use(folder, record, why):
    if record is None:
        (folder / "last_checkpoint").unlink()
    else:
        (folder / "last_checkpoint").write_bytes(record)
    found = find_latest(folder)
    assert found.path == folder / "iter_10.pth"
    assert why in "; ".join(found.passed_over)
    assert bool(found.passed_over) == bool(why)


def test_the_record_is_a_folder(folder):
    (folder / "last_checkpoint").unlink()
    (folder / "last_checkpoint").mkdir()
    assert name(folder) == "iter_10.pth"


def test_a_copied_folder_keeps_to_itself(folder):
    assert find_latest(folder).path == folder / "iter_10.pth"
    (folder / "iter_10.pth").unlink()
    assert find_latest(folder).path == folder / "iter_4.pth"


def test_a_recorded_checkpoint_counts_before_higher_steps_of_an_earlier_training(folder):
    save(folder, "iter_4.pth", 4)
    os.utime(folder / "iter_4.pth", (2_000_000, 2_000_000))
    (folder / "last_checkpoint").write_text("iter_4.pth")
    assert name(folder) == "iter_4.pth"


def test_a_checkpoint_that_was_not_recorded_any_more_is_the_newest(folder):
    (folder / "last_checkpoint").write_text("iter_4.pth")
    assert name(folder) == "iter_10.pth"


def flip(path):
    content = bytearray(path.read_bytes())
    for place in range(1500, 1564):
        content[place] ^= 0xFF
    path.write_bytes(content)


DAMAGE = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "flipped": flip,
    "a text": lambda path: path.write_text("<html>"),
    "weights": lambda path: torch.save(dict(state_dict={}), path),
    "a list": lambda path: torch.save([1], path),
    "no hub": lambda path: torch.save(dict(meta=dict(iter=1, epoch=0), state_dict={}), path),
    "no step": lambda path: torch.save(dict(meta={}, message_hub={}, state_dict={}), path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_whole_is_passed_over_by_name(folder, damage):
    DAMAGE[damage](folder / "iter_10.pth")
    found = find_latest(folder)
    assert found.path == folder / "iter_4.pth"
    assert len(found.passed_over) == 1
    assert str(folder / "iter_10.pth") in found.passed_over[0]


def test_none_whole_is_an_error_that_names_them(folder):
    for path in folder.glob("iter_*.pth"):
        os.truncate(path, 300)
    with pytest.raises(
        RuntimeError, match=r"holds no checkpoint .*iter_10\.pth .*iter_4\.pth"
    ) as no:
        find_latest(folder)
    assert "another `work_dir`" in str(no.value)


def test_a_best_checkpoint_alone_is_not_started_over(folder):
    for path in [*folder.glob("iter_*.pth"), folder / "last_checkpoint"]:
        path.unlink()
    with pytest.raises(
        RuntimeError, match=r"holds best_mIoU_iter_11\.pth, but no checkpoint to resume from"
    ):
        find_latest(folder)


def test_an_empty_or_missing_folder_has_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "missing") is None


def test_checkpoints_of_another_folder(tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path / "w/run"), default_hooks=dict(checkpoint=dict())))
    assert checkpoint_folder(cfg) == tmp_path / "w/run"
    cfg.default_hooks.checkpoint.out_dir = str(tmp_path / "out")
    assert checkpoint_folder(cfg) == tmp_path / "out/run"
    (tmp_path / "out").mkdir()
    save(tmp_path / "out/run", "iter_3.pth", 3)
    assert latest_checkpoint(cfg.work_dir, checkpoint_folder(cfg)).endswith("out/run/iter_3.pth")


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.binary(max_size=80))
def test_no_record_leads_out_of_the_folder(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    save(folder, "iter_2.pth", 2)
    (folder / "last_checkpoint").write_bytes(content)
    assert find_latest(folder).path == folder / "iter_2.pth"
