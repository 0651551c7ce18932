"""Run ``convnext-dense`` as ``python -m convnext_dense``."""

import sys

from convnext_dense.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
