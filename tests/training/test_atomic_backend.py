import errno
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

from convnext_dense.training import AtomicLocalBackend


@pytest.mark.parametrize("method", ["put", "put_text"])
def test_writes_and_replaces(tmp_path, method):
    path = tmp_path / "new folder" / "a.pth"
    for content in ("first", "second"):
        data = content if method == "put_text" else content.encode()
        getattr(AtomicLocalBackend(), method)(data, path)
        assert path.read_text() == content
    assert [p.name for p in path.parent.iterdir()] == ["a.pth"]


def test_a_write_that_fails_midway_leaves_the_earlier_file_and_nothing_else(tmp_path, small_disk):
    path = tmp_path / "a.pth"
    path.write_bytes(b"earlier")
    message = r"could not write .*a\.pth: File too large"
    with small_disk(2**16), pytest.raises(OSError, match=message):
        AtomicLocalBackend().put(bytes(2**20), path)
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    path = tmp_path / "a.pth"
    path.write_bytes(b"earlier")
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        AtomicLocalBackend().put(b"later than that", path)
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.slow
@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_run_keeps_the_best_and_the_last_two_and_no_temporary_file(
    make_runner, tmp_path, by_epoch, monkeypatch
):
    assert isinstance(get_file_backend(backend_args=dict(backend="atomic")), AtomicLocalBackend)
    written = []
    put = AtomicLocalBackend.put
    monkeypatch.setattr(
        AtomicLocalBackend,
        "put",
        lambda self, obj, path: (written.append(path), put(self, obj, path)),
    )
    make_runner("run", by_epoch=by_epoch, backend_args=dict(backend="atomic")).train()
    files = {p.name for p in (tmp_path / "run").iterdir() if p.is_file()}
    last = {"epoch_3.pth", "epoch_4.pth"} if by_epoch else {"iter_9.pth", "iter_12.pth"}
    best = {"best_toy_score_epoch_4.pth"} if by_epoch else {"best_toy_score_iter_12.pth"}
    assert {f for f in files if f.endswith(".pth")} == last | best
    assert not [f for f in files if ".part" in f]
    assert last | best <= {Path(path).name for path in written}
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith(sorted(last)[by_epoch])


@pytest.mark.slow
def test_a_run_that_fills_the_disk_can_be_resumed(make_runner, tmp_path, monkeypatch):
    put = AtomicLocalBackend.put

    def fill(self, obj, path):
        if "epoch_3" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, obj, path)

    monkeypatch.setattr(AtomicLocalBackend, "put", fill)
    with pytest.raises(OSError, match="No space left"):
        make_runner("run", backend_args=dict(backend="atomic")).train()
    monkeypatch.setattr(AtomicLocalBackend, "put", put)
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith("epoch_2.pth")
    runner = make_runner("run", resume=True, backend_args=dict(backend="atomic"))
    runner.train()
    assert runner.epoch == 4
