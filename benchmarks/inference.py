"""Measure pictures per second against mmdet's DetInferencer or mmseg's MMSegInferencer.

    python benchmarks/inference.py CONFIG CHECKPOINT FOLDER [--device cpu] [--batch 1]

Both run the same model on the same pictures, in turns and in an order that alternates, after a
round that is not counted. `results` gives what was found in Python; `pictures` draws it into files,
objects above 0.3.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.benchmark.timing import alternate
from convnext_dense.inference import Predictor
from convnext_dense.inference.inputs import find_pictures
from convnext_dense.inference.saving import Saver
from convnext_dense_runtime.threads import map_in_threads

SCORE = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=32, help="pictures per round; default: 32")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    pictures = list(find_pictures([args.folder]).values())[: args.limit]
    with tempfile.TemporaryDirectory() as folder:
        tasks = build(args, pictures, Path(folder))
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}")
        print(f"{len(pictures)} pictures, batch {args.batch}, median of {args.rounds} rounds")
        print(
            f"{'task':<10}{'theirs, /s':>12}{'ours, /s':>12}{'ratio':>8}{'lowest':>8}{'highest':>9}"
        )
        for title, (theirs, ours) in tasks.items():
            functions = dict(theirs=theirs, ours=ours)
            samples = alternate(functions, torch.device(args.device), args.rounds, min_time=0)
            rates = [len(pictures) / statistics.median(times) for times in samples.values()]
            ratios = [one / other for one, other in zip(*samples.values(), strict=True)]
            print(
                f"{title:<10}{rates[0]:>12.2f}{rates[1]:>12.2f}{statistics.median(ratios):>8.2f}"
                f"{min(ratios):>8.2f}{max(ratios):>9.2f}"
            )


def build(args: argparse.Namespace, pictures: list[str], out: Path) -> dict:
    """Return the functions to run by title: theirs and ours."""
    ours = Predictor(args.config, args.checkpoint, args.device, batch_size=args.batch)
    shown = Predictor(args.config, args.checkpoint, args.device, args.batch, SCORE)
    saver = Saver(out / "ours", ("pictures",), ours.classes, ours.meta["palette"])
    options = dict(batch_size=args.batch)
    if hasattr(ours.model, "decode_head"):
        from mmseg.apis import MMSegInferencer as Inferencer

        drawing = dict(options, out_dir=str(out / "theirs"))
    else:
        from mmdet.apis import DetInferencer as Inferencer

        drawing = dict(options, out_dir=str(out / "theirs"), pred_score_thr=SCORE)
    theirs = Inferencer(args.config, args.checkpoint, device=args.device)
    theirs.show_progress = False

    def draw() -> None:
        with ThreadPoolExecutor(1) as writer:
            named = ((Path(seen.source).stem, seen) for seen in shown.stream(pictures))
            for _ in map_in_threads(writer, lambda one: saver.save(*one), named, 3):
                pass

    return {
        "results": (lambda: theirs(pictures, **options), lambda: ours(pictures)),
        "pictures": (lambda: theirs(pictures, **drawing), draw),
    }


if __name__ == "__main__":
    main()
