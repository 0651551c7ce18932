"""Write docs/model_zoo.md from the published table and the recipes."""

from __future__ import annotations

import argparse
from pathlib import Path

from convnext_dense.zoo import render_model_zoo

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    root = Path(__file__).parent.parent
    (root / "docs" / "model_zoo.md").write_text(render_model_zoo(root / "configs"))
