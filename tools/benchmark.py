"""Measure speed and memory: tools/benchmark.py backbone --arch tiny --dtype amp --mode train.

backbone: ours beside timm, transformers, torchvision, mmpretrain and Meta's layout, with equal
weights. train, infer: whole models of configs, on random input of the recipe's size.
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.benchmark import (
    add_backbone_options,
    add_model_options,
    benchmark_backbone,
    benchmark_models,
)
from convnext_dense.cli.errors import run_tool

BACKBONE = """Measure our backbone beside every installed peer, with equal weights and input.

Before anything is timed, outputs (and for --mode train the gradient of every parameter) are
compared with Meta's layout in float32. Then all run in turns, in an order that rotates from round
to round. The table's columns:
  outputs        with a norm after each, or raw stages: whichever the peer gives. Ours is measured
                 both ways, and each peer compared with ours of the same outputs.
  median, ms     of a pass, with the quartiles of its samples.
  ratio to ours  above 1 ours is faster: median and quartiles of the ratios within a round, to ours
                 in its faster memory format. Each peer counts with its faster format too.
  peak, MB       of tensors beyond weights and input: CUDA's allocator, or on a CPU the allocations
                 that torch's profiler sees in a pass that is not timed. Scratch memory that oneDNN
                 takes for itself is not among them.
  ceiling        operations of the network (backward counted twice the forward) per second, as a
                 share of the fastest matrix product measured in the same run.
  error          of the outputs in the measured type to those in float32, in the norm.
  start, s       of the first passes, with the compiler's time.
"""
MODELS = """Measure models of configs in turns, with random weights, on random input.

Where several are given, each is compared with the first: above 1 it takes longer. Phases: data is
the data preprocessor alone, since no image is read; forward the losses, or the prediction with
all that comes after the network; backward; step the optimizer's, with clipping. Peak memory is as
in `backbone`, beyond weights and the optimizer's state.
"""


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="backbone|train|infer")
    backbone = commands.add_parser(
        "backbone",
        help="our backbone beside its peers",
        description=BACKBONE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_backbone_options(backbone)
    backbone.set_defaults(command=benchmark_backbone)
    for mode, text in (("train", "training steps of configs"), ("infer", "predictions of configs")):
        models = commands.add_parser(
            mode,
            help=text,
            description=MODELS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_model_options(models, mode)
        models.set_defaults(command=benchmark_models, mode=mode)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    args.command(args)


if __name__ == "__main__":
    sys.exit(run_tool(main))
