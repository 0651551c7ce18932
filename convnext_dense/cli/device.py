"""Fit a config to the device at hand: backend, precision and batch norm across processes."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import init_dist, is_distributed
from mmengine.utils.dl_utils import set_multi_processing

from convnext_dense.cli.options import note
from convnext_dense.upstream.cpu_distributed import start_gloo

AMP_DTYPES = ("float16", "bfloat16")
BACKEND = "env_cfg.dist_cfg.backend"


def fit_to_device(cfg: Config, asked: Mapping[str, object]) -> None:
    """Change what needs CUDA in a config where there is none.

    Args:
        cfg: Changed in place: batch norm, and what starts several processes.
        asked: ``--cfg-options``, which are wishes, where the config's own values are defaults.

    Raises:
        RuntimeError: Where the user asked for a GPU that is not there.
    """
    check_launch(cfg.launcher)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if torch.cuda.is_available():
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank >= torch.cuda.device_count():
            raise RuntimeError(
                f"process {local_rank} has no GPU: torch sees {torch.cuda.device_count()}. Start "
                "as many processes per machine as there are GPUs"
            )
        join_processes(cfg)
        return
    if any(device.strip() not in ("", "-1") for device in visible.split(",")):
        raise RuntimeError(
            f"CUDA_VISIBLE_DEVICES={visible} asks for a GPU, but torch {torch.__version__} sees "
            "none: install a CUDA build of torch and the driver, or unset the variable to run on "
            "the CPU"
        )
    if asked.get(BACKEND, "gloo") != "gloo":
        raise RuntimeError(
            f"{BACKEND}={asked[BACKEND]} needs CUDA, and torch {torch.__version__} sees none: "
            "leave it out, and the processes talk through gloo"
        )
    if cfg.launcher in ("slurm", "mpi"):
        raise RuntimeError(
            f"--launcher {cfg.launcher} needs CUDA, and torch {torch.__version__} sees none: "
            "several processes on CPUs start through torchrun, with --launcher pytorch"
        )
    if cfg.launcher == "pytorch":
        start_gloo(cfg)
        if replace_sync_bn(cfg.model):
            note("SyncBN needs CUDA: batch norm works per process instead")


def join_processes(cfg: Config) -> None:
    """Join the run's other processes, where mmengine's runner would only later.

    From here on rank 0 can decide for all.
    """
    if cfg.launcher != "none" and not is_distributed():
        environment = cfg.get("env_cfg") or {}
        set_multi_processing(**environment.get("mp_cfg", {}), distributed=True)
        init_dist(cfg.launcher, **environment.get("dist_cfg", {}))


def check_launch(launcher: str) -> None:
    """Refuse a launcher whose variables are not there."""
    needed = {
        "pytorch": ("RANK", "tools/dist_train.sh or torchrun"),
        "slurm": ("SLURM_PROCID", "srun"),
        "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "mpirun"),
    }
    if launcher in needed and needed[launcher][0] not in os.environ:
        variable, program = needed[launcher]
        raise RuntimeError(
            f"--launcher {launcher} finds no {variable} in the environment: start it through "
            f"{program}, or leave the flag out for a single process"
        )


def set_precision(cfg: Config, amp: str | None) -> None:
    """Apply ``--amp``, and make an AMP recipe run where there is no CUDA.

    Args:
        cfg: Changed in place: ``optim_wrapper``.
        amp: ``float16``, ``bfloat16`` or None for what the config says.
    """
    wrapper = cfg.optim_wrapper
    if torch.cuda.is_available():
        if amp:
            wrapper.type = "AmpOptimWrapper"
            wrapper.dtype = amp
        return
    was_amp = wrapper.get("type") == "AmpOptimWrapper"
    for key in ("dtype", "loss_scale", "use_fsdp"):
        wrapper.pop(key, None)
    if amp:
        wrapper.type = "CpuAmpOptimWrapper"
        if amp == "float16":
            note("no CUDA: autocast runs in bfloat16, since the CPU's float16 is no faster")
    elif was_amp:
        wrapper.type = "OptimWrapper"
        note("no CUDA: training in float32 (the recipe says mixed precision; see --amp)")


def replace_sync_bn(cfg: ConfigDict | list) -> bool:
    """Turn every SyncBN of a model's config into BN, and tell whether there was one."""
    if isinstance(cfg, (list, tuple)):
        return sum(replace_sync_bn(item) for item in cfg) > 0
    if not isinstance(cfg, dict):
        return False
    found = cfg.get("type") == "SyncBN"
    if found:
        cfg["type"] = "BN"
    return sum(replace_sync_bn(value) for value in cfg.values()) + found > 0
