"""Put a ConvNeXt under a config of mmdet or mmseg, and write the config that results.

tools/swap_backbone.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --arch tiny \
    --weights imagenet1k --recipe convnext -o retinanet_convnext_t.py --diff --check
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.swap import add_swap_options, swap_command


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_swap_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    swap_command(parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_tool(main))
