"""The processes of a distributed run end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
import torch.distributed as dist

from convnext_dense.training import processes
from convnext_dense.training.processes import RankWatch

pytestmark = pytest.mark.slow

BEAT = 0.05
PATIENCE = 1
LAUNCHER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(60)
"""
# Without the package, whose imports take longer than what is tested.
MODULE = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("processes", {processes.__file__!r})
processes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processes)
"""
WORKER = """
import signal, time
processes.GRACE = 1
signal.signal(signal.SIGTERM, signal.SIG_IGN)
processes.end_with_launcher()
print("watching", flush=True)
time.sleep(60)
"""
RANK = """
import os, signal, time
import torch.distributed as dist
dist.init_process_group("gloo")
processes.RankWatch.__init__.__defaults__ = (0.1, 1)
processes.watch_ranks()
dist.barrier()
print(os.getpid(), flush=True)
if dist.get_rank() == 1:
    os.kill(os.getpid(), signal.SIGSTOP)
dist.barrier()
"""


@pytest.fixture
def watches():
    """Watches of ranks in this process, and what they end with."""
    store, said, made = dist.HashStore(), [], []

    def make(world_size: int) -> tuple[list[RankWatch], list[str]]:
        for rank in range(world_size):
            made.append(RankWatch(store, rank, world_size, said.append, BEAT, PATIENCE))
        return made, said

    yield make
    for watch in made:
        watch.stop()


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(BEAT)
    return condition()


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_rank_that_never_came_is_named_once(watches, lost):
    ranks, said = watches(3)
    for rank in set(range(3)) - {lost}:
        ranks[rank].start()
    ranks.pop(lost)
    assert wait_for(lambda: said)
    time.sleep(0.5)
    (message,) = said
    assert message.startswith(f"rank {lost} (never seen) has given no sign of life for 1 s")


def test_a_rank_that_has_left_is_not_missed(watches):
    ranks, said = watches(3)
    for rank in ranks:
        rank.start()
    time.sleep(5 * BEAT)
    ranks.pop(1).stop()
    time.sleep(1.5 * PATIENCE)
    assert not said


def test_a_store_that_does_not_answer_is_not_taken_for_the_next_rank(monkeypatch):
    class Silent:
        calls = 0

        def set(self, key, value):
            pass

        def add(self, key, number):
            self.calls += 1
            if self.calls > 20:
                threading.Event().wait(5)
            return self.calls

    said = []
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "somewhere")
    monkeypatch.setenv("MASTER_PORT", "7")
    RankWatch(Silent(), 1, 3, said.append, BEAT, PATIENCE).start()
    assert wait_for(lambda: said, 4)
    assert said == [
        "rank 0 (port 7 of somewhere) has given no sign of life for 1 s: it is stopped, or its "
        "machine cannot be reached"
    ]


@pytest.mark.skipif(
    torch.cuda.is_available() or not dist.is_gloo_available(), reason="gloo without CUDA"
)
def test_a_stopped_rank_ends_the_run_by_name(free_port):
    env = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port, WORLD_SIZE="2", OMP_NUM_THREADS="1")
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", MODULE + RANK],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | env | dict(RANK=rank),
        )
        for rank in "01"
    ]
    try:
        pids = [rank.stdout.readline().strip() for rank in ranks]
        said = ranks[0].communicate(timeout=60)[1]
        assert ranks[0].returncode == 1
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert f"error: rank 1 (process {pids[1]} on " in said


def test_a_process_ends_with_its_launcher_even_where_it_ignores_sigterm():
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, MODULE + WORKER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout.readline() == "watching\n"
    os.kill(launcher.pid, signal.SIGKILL)
    # The pipes close when the worker has ended, too.
    _, said = launcher.communicate(timeout=20)
    assert f"error: the launcher, process {launcher.pid}, has ended" in said
