"""Several processes without CUDA.

Fault: mmengine 0.10.7 chooses a GPU for each process whatever the backend, and hands its number to
``DistributedDataParallel``, which refuses it for a model on the CPU.
Reach: runs of this package that torchrun started where there is no CUDA.
Off-switch: its name.
End: when mmengine asks first whether there is CUDA.
"""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.upstream._switches import is_off


def wrapper_without_device(cfg: Config) -> dict | None:
    """Return the ``model_wrapper_cfg`` of a run on CPUs, which is told that no device is named.

    Args:
        cfg: The run's config.
    """
    if is_off("cpu_distributed"):
        return cfg.get("model_wrapper_cfg")
    # Besides the devices, what the runner does where a config says nothing.
    plain = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    return dict(cfg.get("model_wrapper_cfg") or plain, device_ids=None)
