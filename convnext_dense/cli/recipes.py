"""List the recipes with their published figures, or print where one lies.

%(prog)s
%(prog)s --path cascade_convnext_t_coco
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from convnext_dense.cli.errors import add_debug_option
from convnext_dense.cli.output import print_text
from convnext_dense.cli.program import called
from convnext_dense.zoo.recipes import recipe_file, recipes
from convnext_dense.zoo.results import METRIC_TITLES, PEERS, PUBLISHED, Published

# By the folder of the recipes.
TITLES = {"det": "COCO", "seg": "ADE20K", "demo": "The demo"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``recipes``."""
    parser.add_argument(
        "--path", metavar="NAME", help="print the file of this recipe, for the _base_ of a config"
    )
    add_debug_option(parser)
    parser.set_defaults(command=recipes_command)


def recipes_command(args: argparse.Namespace) -> None:
    """Print all recipes, or the file of one; see :func:`convnext_dense.zoo.recipes.recipe_file`."""
    if args.path:
        print_text(str(recipe_file(args.path)))
        return
    shown = {row.config: row for row in (*PUBLISHED, *PEERS)}
    names = sorted(recipes(), key=[*shown, *recipes()].index)  # published ones first
    for folder in dict.fromkeys(name.partition("/")[0] for name in names):
        rows = {name: shown.get(name) for name in names if name.startswith(f"{folder}/")}
        print_text(f"{TITLES.get(folder, folder)}\n{lay_out(rows)}", lines=True)
    print_text("Figures are in percent, as published; an empty place: none was published.")
    print_text(
        f"{called('train')} NAME trains one, {called('recipes')} --path NAME names its file."
    )


def lay_out(rows: Mapping[str, Published | None]) -> str:
    """Return recipes as a table, or as a list where the terminal is too narrow for it.

    Args:
        rows: Their rows by their names; None: they have none.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    metrics = dict.fromkeys(name for row in rows.values() if row for name in row.metrics)
    titles = ["recipe"]
    if any(rows.values()):
        titles += ["weights", *(METRIC_TITLES[name] for name in metrics), "params (M)", "FLOPs (G)"]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, title in enumerate(titles):
        heading = textwrap.fill(title, 8, break_on_hyphens=True)
        table.add_column(heading, justify="right" if index > 1 else "left", no_wrap=True)
    cells = [_cells(name, row, metrics)[: len(titles)] for name, row in rows.items()]
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(color_system=None)
    needed = Console(width=1000).measure(table).maximum
    if console.is_terminal and console.width < needed:
        return "".join(_paragraph(titles, row, console.width) for row in cells)
    console.width = needed
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _cells(name: str, row: Published | None, metrics: Iterable[str]) -> list[str]:
    if row is None:
        return [name]
    figures = [f"{row.metrics[metric]:.1f}" if metric in row.metrics else "" for metric in metrics]
    counts = ["" if count is None else str(count) for count in (row.params, row.flops)]
    return [name.partition("/")[2], row.pretrained, *figures, *counts]


def _paragraph(titles: Sequence[str], cells: Sequence[str], width: int) -> str:
    facts = [f"{title} {cell}" for title, cell in zip(titles[1:], cells[1:], strict=True) if cell]
    text = textwrap.fill(", ".join(facts), width, initial_indent="    ", subsequent_indent="    ")
    return f"{cells[0]}\n{text}\n" if facts else f"{cells[0]}\n"
