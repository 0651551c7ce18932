"""Make the processes of a distributed run end together.

A launcher ends the other processes when one dies. But it does not notice a process that is stopped,
and processes do not notice that their launcher was killed.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.utils.dl_utils import set_multi_processing

# Seconds between a process's signs of life, and seconds without one after which the run ends. Code
# that blocks Python's threads, such as an evaluation in C++, takes less than the latter.
BEAT = 5
PATIENCE = 180
# Seconds between asking a process to end and killing it.
GRACE = 10
# Added to a rank's count of signs when it leaves, so that the count is negative from then on.
_LEFT = -(2**40)


def end_with_launcher() -> None:
    """Watch this process's parent from now on, and end this process soon after the parent ends.

    A thread checks every second. It sends SIGTERM, and after :data:`GRACE` seconds SIGKILL, since a
    collective operation that waits for another process does not react to SIGTERM. It does not use
    ``PR_SET_PDEATHSIG``, which acts when the *thread* that started this process ends.
    ``tools/dist_run.sh`` sets ``CONVNEXT_DENSE_LAUNCHER``, so that this also works if the launcher
    ended before this call.
    """
    parent = int(os.environ.get("CONVNEXT_DENSE_LAUNCHER") or os.getppid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        _print_error(f"the launcher, process {parent}, has ended, and this process ends with it")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def join_processes(cfg: Config) -> None:
    """Join the run's other processes now; mmengine's runner would do it later.

    From here on rank 0 can decide for all.

    Args:
        cfg: The run's config, with its launcher and ``env_cfg``.
    """
    if cfg.launcher == "none" or dist.is_initialized():
        return
    if not torch.cuda.is_available():
        dist.init_process_group("gloo")  # mmengine would choose a GPU for each process
        return
    environment = cfg.get("env_cfg") or {}
    set_multi_processing(**environment.get("mp_cfg", {}), distributed=True)
    init_dist(cfg.launcher, **environment.get("dist_cfg", {}))


def leave_processes() -> None:
    """Leave the run's other processes, if there are any.

    mmengine never does this. When Python exits, NCCL then warns of a leak, and a thread of gloo
    that is still releasing its last work can abort the process (pytorch/pytorch#190489). The caller
    should keep no reference to the runner: its DDP model and its optimizer hold the group, whose
    threads end only with it.
    """
    stop_watching()
    if dist.is_initialized():
        gc.collect()  # a runner and its hooks refer to each other
        dist.destroy_process_group()


class RankWatch:
    """Send signs of life through a store, and watch those of the next rank.

    Time is counted in this process's own signs, not in seconds: a run whose processes were all
    suspended goes on when they are resumed.

    Args:
        store: Shared by the ranks, and used for nothing else.
        rank: This process's rank.
        world_size: The number of ranks, at least 2.
        end: Called once, with a description of what is wrong.
        beat: Seconds between two signs.
        patience: Seconds without a sign after which a rank counts as lost.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        world_size: int,
        end: Callable[[str], None],
        beat: float = BEAT,
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._rank = rank
        self._next = (rank + 1) % world_size
        self._end = end
        self._beat = beat
        self._patience = patience
        self._counts = (0, 0)  # of this rank and of the next
        self._ended = threading.Event()
        # Two threads, since the store itself may stop answering.
        self._threads = [
            threading.Thread(target=target, name="ranks", daemon=True)
            for target in (self._send_signs, self._watch)
        ]

    def start(self) -> None:
        """Start to send signs and to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop sending signs; the other ranks do not expect them from now on."""
        self._ended.set()
        for thread in self._threads:
            thread.join(self._beat)

    def _send_signs(self) -> None:
        me, other = f"signs {self._rank}", f"signs {self._next}"
        try:
            self._store.set(f"who {self._rank}", f"process {os.getpid()} on {socket.gethostname()}")
            while True:
                self._counts = self._store.add(me, 1), self._store.add(other, 0)
                if self._ended.wait(self._beat):
                    self._store.add(me, _LEFT)
                    return
        except RuntimeError:
            pass  # the other thread sees that the counts no longer change

    def _watch(self) -> None:
        before, silent = self._counts, [0, 0]
        while not self._ended.wait(self._beat):
            counts = self._counts
            silent = [
                0 if now != then or now < 0 else n + 1
                for now, then, n in zip(counts, before, silent, strict=True)
            ]
            before = counts
            if silent[0] * self._beat >= self._patience:
                self._end(self._lost(_host_of_store()))
                return
            if silent[1] * self._beat >= self._patience:
                who = self._store.get(f"who {self._next}").decode() if counts[1] else "never seen"
                self._end(self._lost(f"rank {self._next} ({who})"))
                return

    def _lost(self, who: str) -> str:
        return (
            f"{who} has given no sign of life for {self._patience:g} s: it is stopped, or its "
            "machine cannot be reached"
        )


_watch: RankWatch | None = None


def watch_ranks() -> None:
    """Watch the run's other processes, and end this one if another is stopped or lost.

    The launcher then ends all of them. Call this when the processes are connected.
    """
    global _watch
    if _watch is not None or not dist.is_initialized() or dist.get_world_size() == 1:
        return
    if "MASTER_ADDR" not in os.environ:  # the processes did not connect through a store
        return
    # A separate connection, since a blocked one cannot serve another thread.
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=PATIENCE),
    )
    # The launcher's store keeps its values when the run is restarted.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    of_attempt = dist.PrefixStore(f"convnext_dense {attempt}", store)
    _watch = RankWatch(of_attempt, dist.get_rank(), dist.get_world_size(), _exit)
    _watch.start()


def stop_watching() -> None:
    """Stop the watch when this process has done its work; the others no longer expect signs."""
    global _watch
    if _watch is not None:
        _watch.stop()
        _watch = None


def _exit(message: str) -> None:
    _print_error(f"{message}. The run ends; resume it from the last checkpoint")
    # The main thread waits for the other process, and would not notice an exception.
    os._exit(1)


def _print_error(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.stderr.flush()


def _host_of_store() -> str:
    is_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    return f"{'the launcher' if is_launcher else 'rank 0'} (port {port} of {address})"
