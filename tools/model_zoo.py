"""Write docs/model_zoo.md from the published table and the recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convnext_dense.cli.errors import add_debug_option, run_tool
from convnext_dense.files import write_whole
from convnext_dense.zoo import render_model_zoo


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_debug_option(parser)
    parser.parse_args(argv)
    root = Path(__file__).parent.parent
    write_whole(root / "docs" / "model_zoo.md", render_model_zoo(root / "configs"))


if __name__ == "__main__":
    sys.exit(run_tool(main))
