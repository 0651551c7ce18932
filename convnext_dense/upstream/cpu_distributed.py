"""Several processes without CUDA.

Fault: mmengine 0.10.7 chooses a GPU for each process whatever the backend, and hands its number to
``DistributedDataParallel``, which refuses it for a model on the CPU.
Reach: runs of this package that torchrun started where there is no CUDA.
Off-switch: its name.
End: when mmengine asks first whether there is CUDA.
"""

from __future__ import annotations

import torch.distributed
from mmengine.config import Config

from convnext_dense.upstream._switches import is_off


def start_gloo(cfg: Config) -> None:
    """Join the processes that torchrun started, before mmengine's runner would.

    Args:
        cfg: Changed in place: ``model_wrapper_cfg``, which is told that there is no device to name.
    """
    if is_off("cpu_distributed"):
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    # Besides the devices, what the runner does where a config says nothing.
    plain = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    cfg.model_wrapper_cfg = dict(cfg.get("model_wrapper_cfg") or plain, device_ids=None)
