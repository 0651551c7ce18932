"""Set where a run logs."""

from __future__ import annotations

from convnext_dense.config.shared_parts import default_visualizer
from convnext_dense.config.state import Plan
from convnext_dense.config.trackers import find_trackers
from convnext_dense.config_tree import type_name


def set_logging(plan: Plan) -> Plan:
    """Add the trackers of ``log``, and that of ``tensorboard``, to the logs of the run.

    Raises:
        ImportError: If the package of a tracker is not installed.
        ValueError: If there is no such tracker, or it has no login.
    """
    asked = plan.options
    names = [] if asked.log is None else asked.log
    names = names.split(",") if isinstance(names, str) else list(names)
    if asked.tensorboard:
        names.append("tensorboard")
    if not names:
        return plan
    cfg = plan.copy_config()
    if not cfg.get("visualizer"):
        cfg.visualizer = default_visualizer()
    backends = list(cfg.visualizer.get("vis_backends") or ())
    trackers = find_trackers(names)
    for tracker in trackers.values():
        # Those of the config stay as they are.
        if all(type_name(backend) != tracker.backend for backend in backends):
            backends.append(dict(type=tracker.backend, **tracker.arguments(cfg.work_dir)))
    cfg.visualizer.vis_backends = backends
    return plan.changed(cfg, f"`log`: also to {', '.join(trackers)}")
