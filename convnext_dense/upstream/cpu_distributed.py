"""Several processes without CUDA.

Fault: mmengine 0.10.7 chooses a GPU for each process with any backend, and passes its number to
``DistributedDataParallel``, which refuses it for a model on the CPU.
Reach: runs of this package that torchrun started on a machine without CUDA.
Off-switch: its name.
End: when mmengine checks first whether there is CUDA.
"""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.upstream._switches import is_off


def wrapper_without_device(cfg: Config) -> dict | None:
    """Return the ``model_wrapper_cfg`` of a run on CPUs, which names no device.

    Args:
        cfg: The run's config.
    """
    if is_off("cpu_distributed"):
        return cfg.get("model_wrapper_cfg")
    # The runner's own defaults, except for the devices.
    plain = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    return dict(cfg.get("model_wrapper_cfg") or plain, device_ids=None)
