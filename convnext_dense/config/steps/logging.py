"""Set where a run logs."""

from __future__ import annotations

from importlib.util import find_spec

from convnext_dense.config.shared_parts import default_visualizer
from convnext_dense.config.state import Plan


def set_logging(plan: Plan) -> Plan:
    """Add TensorBoard to the logs of the run for ``tensorboard``.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    if not plan.options.tensorboard:
        return plan
    if find_spec("tensorboard") is None:
        raise ImportError("`tensorboard`: pip install 'convnext-dense[tensorboard]'")
    cfg = plan.copy_config()
    if not cfg.get("visualizer"):
        cfg.visualizer = default_visualizer()
    backends = list(cfg.visualizer.get("vis_backends") or ())
    cfg.visualizer.vis_backends = [*backends, dict(type="TensorboardVisBackend")]
    return plan.changed(cfg)
