"""What tools/test.py does with a config and its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config

from convnext_dense.cli.device import fit_to_device
from convnext_dense.cli.runner import build_runner
from convnext_dense.data.check import check_data
from convnext_dense.evaluation.outputs import draw_predictions, keep_predictions
from convnext_dense.evaluation.tta import use_tta


def test(cfg: Config, args: argparse.Namespace) -> dict[str, float]:
    """Evaluate ``args.checkpoint`` on the test data of a config.

    Returns:
        The metrics by name, which are also logged.

    Raises:
        FileNotFoundError: Where there is no such checkpoint.
        RuntimeError: Where the checkpoint is not of this model.
    """
    if "://" not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint!r}")
    fit_to_device(cfg, args.cfg_options)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.tta:
        use_tta(cfg)
    if args.out:
        keep_predictions(cfg, args.out)
    if args.show_dir:
        draw_predictions(cfg, args.show_dir)
    check_data(cfg, splits=("test",))
    return build_runner(cfg).test()
