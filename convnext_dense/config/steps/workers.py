"""Set the number of processes that load data."""

from __future__ import annotations

from convnext_dense.config.checks.values import OF_WORKERS
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import SPLITS
from convnext_dense.limits import check_parallel


def set_workers(plan: Plan) -> Plan:
    """Set ``num_workers`` of every loader to ``workers``.

    With 0, settings that need worker processes are switched off, since torch refuses them.

    Raises:
        ValueError: If the number is too high for this machine, or there is no loader.
    """
    workers = plan.options.workers
    if workers is None:
        return plan
    check_parallel("`workers`", workers)
    cfg = plan.copy_config()
    loaders = [cfg[f"{split}_dataloader"] for split in SPLITS if cfg.get(f"{split}_dataloader")]
    if not loaders:
        raise ValueError("`workers`: the config has no loader")
    for loader in loaders:
        loader["num_workers"] = workers
        if workers == 0:
            loader.update({key: none for key, none in OF_WORKERS.items() if key in loader})
    if workers == 0:
        return plan.changed(cfg, "`workers=0`: the run itself loads the data, without workers")
    return plan.changed(cfg, f"`workers={workers}`: processes per loader, in every loader")
