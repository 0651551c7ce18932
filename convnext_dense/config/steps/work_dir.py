"""Set the folder that the run writes to, and the launcher of its processes."""

from __future__ import annotations

from pathlib import Path

from convnext_dense.config.state import Plan


def set_work_dir(plan: Plan) -> Plan:
    """Set the work directory and the launcher.

    Raises:
        ValueError: If the name of the work directory is not valid.
    """
    cfg = plan.copy_config()
    name = Path(cfg.filename).stem if cfg.filename else "run"
    cfg.launcher = plan.options.launcher
    cfg.work_dir = plan.options.work_dir or cfg.get("work_dir") or f"work_dirs/{name}"
    if not isinstance(cfg.work_dir, str):
        raise ValueError(f"work_dir is {cfg.work_dir!r}, not the path of a folder")
    try:
        cfg.work_dir.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"`work_dir={cfg.work_dir!r}`: the name is not UTF-8, take another"
        ) from None
    return plan.changed(cfg)
