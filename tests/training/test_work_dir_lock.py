"""One training per work directory."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest

from convnext_dense.files import WriteError, replacing
from convnext_dense.training import work_dir_lock as module
from convnext_dense.training.work_dir_lock import LOCK_FILE, WorkDirInUseError, lock_work_dir

FORK = multiprocessing.get_context("fork")


def hold(work_dir, ready):
    with lock_work_dir(work_dir):
        ready.set()
        time.sleep(60)


@pytest.fixture
def holding(tmp_path):
    """Another process that trains in a work directory."""
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "run", ready), daemon=True)
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()


def leave(tmp_path, **about):
    """Leave what a run on another machine does."""
    about = dict(host="elsewhere", process=7, since="2020-01-01 00:00:00") | about
    (tmp_path / LOCK_FILE).write_text(json.dumps(about))
    return tmp_path / LOCK_FILE


@pytest.mark.slow
def test_a_second_run_is_refused_by_name(holding, tmp_path):
    expected = (
        rf"^{tmp_path}/run is in use by process {holding.pid} on {socket.gethostname()}, since "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: wait until that run has ended, or choose another "
        r"work_dir$"
    )
    link = tmp_path / "link"
    link.symlink_to("run")
    for _ in range(2):  # what refuses gives nothing up
        with pytest.raises(WorkDirInUseError, match=expected), lock_work_dir(tmp_path / "run"):
            raise AssertionError("never reached")
        with pytest.raises(WorkDirInUseError), lock_work_dir(link):
            raise AssertionError("never reached")


def test_a_killed_run_holds_nothing(holding, tmp_path):
    holding.kill()
    holding.join()
    with lock_work_dir(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK_FILE).read_text())["process"] == os.getpid()


def test_a_stopped_run_holds_on(holding, tmp_path):
    os.kill(holding.pid, signal.SIGSTOP)
    with pytest.raises(WorkDirInUseError), lock_work_dir(tmp_path / "run"):
        raise AssertionError("never reached")


@pytest.mark.slow
def test_the_workers_of_a_killed_run_hold_nothing(tmp_path):
    with lock_work_dir(tmp_path):
        worker = FORK.Process(target=time.sleep, args=(60,), daemon=True)
        worker.start()
        pid = os.fork()
        if not pid:  # this process has the files, and no lock
            os._exit(0)
        os.waitpid(pid, 0)
        other = FORK.Pipe(duplex=False)
        assert refused(tmp_path, other)
    assert not refused(tmp_path, FORK.Pipe(duplex=False))
    worker.kill()


def refused(work_dir, pipe):
    """Whether another process is refused."""
    receive, send = pipe

    def attempt():
        module._held.clear()  # it is a fork of the holder
        try:
            with lock_work_dir(work_dir):
                send.send(False)
        except WorkDirInUseError:
            send.send(True)

    process = FORK.Process(target=attempt)
    process.start()
    process.join()
    return receive.recv()


def test_threads_of_one_process_are_two_runs(tmp_path):
    with (
        lock_work_dir(tmp_path),
        pytest.raises(WorkDirInUseError, match=f"process {os.getpid()} on"),
        lock_work_dir(tmp_path),
    ):
        raise AssertionError("never reached")


@pytest.mark.slow
def test_one_of_many_that_start_at_once(tmp_path):
    outcomes = FORK.SimpleQueue()
    start, end = FORK.Barrier(6), FORK.Barrier(6)

    def attempt():
        start.wait(30)
        try:
            with lock_work_dir(tmp_path / "run"):
                outcomes.put("runs")
                end.wait(30)
        except WorkDirInUseError:
            outcomes.put("refused")
            end.wait(30)

    processes = [FORK.Process(target=attempt) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(outcomes.get() for _ in processes) == ["refused"] * 5 + ["runs"]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_killed_runs_left_half_written_goes(tmp_path):
    folder = tmp_path / "20200101_000000" / "vis_data"
    folder.mkdir(parents=True)
    pid = os.fork()
    if not pid:
        with replacing(folder / "config.py"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    (folder / "scalars.json").touch()
    assert len(list(folder.iterdir())) == 2
    with lock_work_dir(tmp_path):
        assert [path.name for path in folder.iterdir()] == ["scalars.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"host": "elsewhere"}', "\x00" * 50])
def test_a_spoilt_file_holds_nothing(tmp_path, content):
    (tmp_path / LOCK_FILE).write_text(content)
    with lock_work_dir(tmp_path):
        pass


def test_a_folder_of_its_own_goes_where_nothing_was_written(tmp_path):
    with lock_work_dir(tmp_path / "new"):
        pass
    (tmp_path / "mine").mkdir()
    with lock_work_dir(tmp_path / "mine"):
        pass
    with lock_work_dir(tmp_path / "full"):
        (tmp_path / "full" / "epoch_1.pth").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "mine"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["epoch_1.pth"]


@pytest.mark.slow
def test_a_run_of_another_host_that_gives_signs_of_life(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "STALE", 20)
    path = leave(tmp_path)
    sign = threading.Timer(0.2, os.utime, (path,))
    sign.start()
    with (
        pytest.raises(WorkDirInUseError, match="by process 7 on elsewhere, since 2020-01-01"),
        lock_work_dir(tmp_path),
    ):
        raise AssertionError("never reached")
    sign.join()
    assert (
        "was in use by process 7 on elsewhere 0 s ago: waiting up to 20 s"
        in capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.parametrize(("stale", "age"), [(0.3, 0), (30, 60)])
def test_a_run_of_another_host_that_is_silent(tmp_path, monkeypatch, stale, age):
    monkeypatch.setattr(module, "STALE", stale)
    path = leave(tmp_path)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    with lock_work_dir(tmp_path):
        assert json.loads(path.read_text())["host"] == socket.gethostname()


@pytest.mark.slow
def test_without_locks_the_signs_of_life_decide_on_one_host_too(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.lockf", unsupported)
    monkeypatch.setattr(module, "STALE", 20)
    monkeypatch.setattr(module, "BEAT", 0.1)
    with lock_work_dir(tmp_path):
        monkeypatch.setattr(module, "_held", {})
        with pytest.raises(WorkDirInUseError), lock_work_dir(tmp_path):
            raise AssertionError("never reached")


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    complaint = rf"could not write .*{LOCK_FILE}: No space left on device"
    with pytest.raises(WriteError, match=complaint), lock_work_dir(tmp_path / "run"):
        pass
