"""The processes of a distributed run end together.

A launcher ends the others when one process dies. It does not see a process that is stopped, and
processes do not see that their launcher was killed.
"""

from __future__ import annotations

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

# A process gives a sign of life every BEAT seconds, and after PATIENCE without one the run ends.
# Code that keeps Python's threads from running, such as an evaluation in C++, takes less.
BEAT = 5
PATIENCE = 180
# Between asking a process to end and ending it, in seconds.
GRACE = 10
_LEFT = -(2**40)


def end_with_launcher() -> None:
    """Watch this process's parent from now on, and end soon after it has.

    A thread asks every second, and ends the process as SIGTERM does; where that is not heeded, as
    in a collective operation that waits for another process, by SIGKILL after :data:`GRACE`
    seconds. It is no ``PR_SET_PDEATHSIG``, which fires when the *thread* ends that started this
    process. ``CONVNEXT_DENSE_LAUNCHER``, which ``tools/dist_run.sh`` sets, tells of a launcher that
    was gone before this process could ask.
    """
    parent = int(os.environ.get("CONVNEXT_DENSE_LAUNCHER") or os.getppid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        _say(f"the launcher, process {parent}, has ended, and this process ends with it")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def join_processes(cfg: Config) -> None:
    """Join the run's other processes, where mmengine's runner would only later.

    From here on rank 0 can decide for all.

    Args:
        cfg: The run's: its launcher and ``env_cfg``.
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
    """Take leave of the run's other processes, where there are any.

    mmengine never does. At the end of Python NCCL then warns of a leak, and a thread of gloo that
    is still letting go of its last work can abort the process (pytorch/pytorch#190489). The runner
    should be gone: gloo waits for that thread, which may need what a DDP model holds.
    """
    stop_watching()
    if dist.is_initialized():
        dist.destroy_process_group()


class RankWatch:
    """Each rank gives signs of life through a store, and watches those of the next.

    Time is counted in signs that this process could have given itself, so that a run that is
    suspended as a whole goes on when it is woken.

    Args:
        store: Shared by the ranks; the watch uses it alone.
        rank: This process's.
        world_size: The number of ranks, at least 2.
        end: Is called with what is wrong, once.
        beat: Seconds between two signs.
        patience: Seconds without a sign after which a rank is given up.
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
        # Two, since the store itself may be what does not answer.
        self._threads = [
            threading.Thread(target=target, name="ranks", daemon=True)
            for target in (self._give_signs, self._watch)
        ]

    def start(self) -> None:
        """Begin to give signs and to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave: this rank is not missed from now on."""
        self._ended.set()
        for thread in self._threads:
            thread.join(self._beat)

    def _give_signs(self) -> None:
        me, other = f"signs {self._rank}", f"signs {self._next}"
        try:
            self._store.set(f"who {self._rank}", f"process {os.getpid()} on {socket.gethostname()}")
            while True:
                self._counts = self._store.add(me, 1), self._store.add(other, 0)
                if self._ended.wait(self._beat):
                    self._store.add(me, _LEFT)
                    return
        except RuntimeError:
            pass  # the counts stay, which the other thread sees

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
            "machine is lost"
        )


_watch: RankWatch | None = None


def watch_ranks() -> None:
    """End this run where another of its processes is stopped or lost, once they are connected.

    With a launcher, that ends them all.
    """
    global _watch
    if _watch is not None or not dist.is_initialized() or dist.get_world_size() == 1:
        return
    if "MASTER_ADDR" not in os.environ:  # they met elsewhere than in a store
        return
    # A connection of its own, since a blocked one serves no other thread.
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=PATIENCE),
    )
    # The launcher's store outlives a restart.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    of_attempt = dist.PrefixStore(f"convnext_dense {attempt}", store)
    _watch = RankWatch(of_attempt, dist.get_rank(), dist.get_world_size(), _exit)
    _watch.start()


def stop_watching() -> None:
    """Let the other processes not miss this one, which has done its work."""
    global _watch
    if _watch is not None:
        _watch.stop()
        _watch = None


def _exit(message: str) -> None:
    _say(f"{message}. The run ends; resumed, it goes on from the last checkpoint")
    # Its main thread waits for the other process, and would not notice an exception.
    os._exit(1)


def _say(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.stderr.flush()


def _host_of_store() -> str:
    is_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    return f"{'the launcher' if is_launcher else 'rank 0'} (port {port} of {address})"
