"""A tool for dist_run.sh: first rank 1 is lost, then all meet again."""

from __future__ import annotations

import os
import signal

import torch
import torch.distributed as dist

if __name__ == "__main__":
    dist.init_process_group("gloo")
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if dist.get_rank() == 1 and attempt == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    met = torch.ones(1)
    dist.all_reduce(met)
    print(f"attempt {attempt}: {met.item():g} processes")
    dist.destroy_process_group()
