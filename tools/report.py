"""Write one page about one run or several side by side, to open in a browser.

tools/report.py work_dirs/shapes
tools/report.py work_dirs/tiny work_dirs/small -o tiny_and_small.html
"""

from __future__ import annotations

import argparse
import sys

import convnext_dense  # noqa: F401  first, since it makes mmdet importable
from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.report import add_report_options, report_command


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_report_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    report_command(parse_args(argv))


if __name__ == "__main__":
    sys.exit(run_tool(main))
