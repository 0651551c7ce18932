"""The same as ``convnext-dense export``, in a clone: tools/export.py --help."""

import sys
from functools import partial

from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.main import run_subcommand

main = partial(run_subcommand, "export")

if __name__ == "__main__":
    sys.exit(run_tool(main))
