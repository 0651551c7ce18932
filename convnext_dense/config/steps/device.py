"""Adapt the config to the device: its backend, and batch norm across processes."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from mmengine.config import ConfigDict

from convnext_dense.config.state import Plan
from convnext_dense.config_tree import walk
from convnext_dense.upstream.cpu_distributed import wrapper_without_device

BACKEND = "env_cfg.dist_cfg.backend"
# A variable that each launcher sets, and the programs that start processes with it.
_STARTED_BY = {
    "pytorch": ("RANK", "tools/dist_train.sh or torchrun"),
    "slurm": ("SLURM_PROCID", "srun"),
    "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "mpirun"),
}


def fit_device(plan: Plan) -> Plan:
    """Change settings of a config that need CUDA if there is no CUDA.

    The config's own values are changed silently, but those in ``cfg_options`` are refused.

    Raises:
        RuntimeError: If a requested GPU does not exist, or a launcher's variables are not set.
    """
    launcher = plan.config.launcher
    check_launch(launcher)
    if torch.cuda.is_available():
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank >= torch.cuda.device_count():
            raise RuntimeError(
                f"process {local_rank} has no GPU: torch sees {torch.cuda.device_count()}. Start "
                "as many processes per machine as there are GPUs"
            )
        return plan
    _refuse_cuda(launcher, plan.options.cfg_options)
    if launcher != "pytorch":
        return plan
    cfg = plan.copy_config()
    wrapper = wrapper_without_device(cfg)
    if wrapper is not None:
        cfg.model_wrapper_cfg = wrapper
    if replace_sync_bn(cfg.model):
        return plan.changed(cfg, "SyncBN needs CUDA: batch norm works per process instead")
    return plan.changed(cfg)


def _refuse_cuda(launcher: str, asked: Mapping[str, object]) -> None:
    """Refuse requests for a GPU if torch sees none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
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
    if launcher in ("slurm", "mpi"):
        raise RuntimeError(
            f"`launcher={launcher!r}` needs CUDA, and torch {torch.__version__} sees none: several "
            "processes on CPUs start through torchrun, with `launcher='pytorch'`"
        )


def check_launch(launcher: str) -> None:
    """Refuse a launcher whose variables are not set.

    Raises:
        RuntimeError: If a variable is not set; the message names it and the program that sets it.
    """
    variable, program = _STARTED_BY.get(launcher, ("", ""))
    if variable and variable not in os.environ:
        raise RuntimeError(
            f"`launcher={launcher!r}` finds no {variable} in the environment: start it through "
            f"{program}, or leave it out for a single process"
        )


def replace_sync_bn(model: ConfigDict) -> bool:
    """Turn every SyncBN of a model's config into BN, and return whether there was one.

    Args:
        model: Changed in place.
    """
    found = [node for _, node in walk(model) if node.get("type") == "SyncBN"]
    for node in found:
        node["type"] = "BN"
    return bool(found)
