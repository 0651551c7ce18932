"""Write docs/model_zoo.md from the published table and the recipes."""

from __future__ import annotations

import argparse
from pathlib import Path

from convnext_dense.files import write_whole
from convnext_dense.zoo import render_model_zoo

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    root = Path(__file__).parent.parent
    write_whole(root / "docs" / "model_zoo.md", render_model_zoo(root / "configs"))
