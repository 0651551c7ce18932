"""What a test leaves behind besides its figures: predictions and pictures."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config


def keep_predictions(cfg: Config, out: str) -> None:
    """Write every prediction to ``out`` when the test is over.

    Args:
        cfg: Changed in place: ``test_evaluator``.
        out: A ``.pkl`` file (mmdet's and mmengine's dump of the data samples), or for a segmenter
            also a folder that takes one PNG of labels per image.

    Raises:
        ValueError: Where the model cannot write to that.
    """
    segmenter = cfg.default_scope == "mmseg"
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
    if out.endswith((".pkl", ".pickle")):
        dump = "mmengine.DumpResults" if segmenter else "mmdet.DumpDetResults"
        cfg.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    elif segmenter and not Path(out).suffix:
        cfg.test_evaluator = [dict(evaluator, output_dir=out) for evaluator in evaluators]
    else:
        wanted = "a .pkl file, or a folder for PNGs" if segmenter else "a .pkl file"
        raise ValueError(f"--out takes {wanted}, got {out!r}")


def draw_predictions(cfg: Config, show_dir: str) -> None:
    """Draw truth and prediction of every test image into ``show_dir``.

    Args:
        cfg: Changed in place: ``default_hooks.visualization`` and ``visualizer``.
        show_dir: A folder, made where it is missing.
    """
    show_dir = str(Path(show_dir).resolve())
    hook = cfg.default_hooks.visualization
    hook.draw = True
    hook.interval = 1
    if cfg.default_scope == "mmseg":
        cfg.visualizer.save_dir = show_dir
    else:
        hook.test_out_dir = show_dir
