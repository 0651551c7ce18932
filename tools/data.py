"""Look at the data before hours are spent on it. The flags for data are those of tools/train.py.

tools/data.py check configs/det/mask_rcnn_convnext_t_coco.py --data-root droplets \\
    --classes droplet --ann-train annotations/instances_train.json \\
    --ann-val annotations/instances_val.json
tools/data.py show configs/seg/upernet_convnext_t_ade20k.py -n 16 -o samples.png
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.data import add_data_commands
from convnext_dense.cli.errors import run_tool


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_commands(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    args = parse_args(argv)
    args.command(args)


if __name__ == "__main__":
    sys.exit(run_tool(main))
