"""Export recipes at their own size with random weights, and compare them with PyTorch.

    python benchmarks/export_recipes.py [configs/det/mask_rcnn_convnext_t_coco.py ...]

Without arguments: all recipes of configs/, one after another. Each is built with random weights
that give distinct scores, exported, and compared in ONNX Runtime for three generated pictures, one
of them as large as the recipe's test pictures. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from mmengine.registry import MODELS, DefaultScope
from random_weights import settle, spread_queries, spread_weights

from convnext_dense.config.read_config import read_config
from convnext_dense.export.graph import make_graph
from convnext_dense.export.pictures import generate
from convnext_dense.export.run import export
from convnext_dense.patches import enable
from convnext_dense.text import one_line

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", type=Path)
    args = parser.parse_args()
    enable()
    recipes = args.recipes or sorted((ROOT / "configs").glob("*/*.py"))
    print("| recipe | MB | found | box, px | score | mask IoU | pixels |")
    print("|---|---|---|---|---|---|---|")
    for recipe in recipes:
        print(f"| {recipe.stem} | {row(recipe)} |", flush=True)


def row(recipe: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, out = Path(folder) / "random.pth", Path(folder) / "model.onnx"
        save_random(recipe, checkpoint)
        try:
            metadata = export(recipe, checkpoint, out)
        except Exception as error:  # the table says what failed
            return one_line(error)
        size = sum(file.stat().st_size for file in Path(folder).glob("model.onnx*")) / 1e6
    figures = metadata.verification
    if metadata.task == "segmentation":
        return f"{size:.0f} | | | | | {figures['pixels']:.6f}"
    mask = f"{figures['mask']:.4f}" if metadata.masks else ""
    return (
        f"{size:.0f} | {figures['found']} | {figures['box']:.1e} | {figures['score']:.1e} | "
        f"{mask} |"
    )


def save_random(recipe: Path, checkpoint: Path) -> None:
    """Write a checkpoint of a recipe with random weights."""
    cfg = read_config(recipe)
    cfg.model.backbone.pop("init_cfg", None)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    spread_weights(model)
    graph, picture = make_graph(model.eval()), torch.from_numpy(generate((256, 320), 3, seed=0))
    settle(graph, picture)
    spread_queries(graph, picture)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)


if __name__ == "__main__":
    main()
