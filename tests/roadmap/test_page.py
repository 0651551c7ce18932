"""docs/roadmap.md has the tables that the code gives: WRITE_DOCS=1 writes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from convnext_dense.backbone.roadmap import REGIMES, STEPS
from convnext_dense.roadmap.figure import draw_published
from convnext_dense.roadmap.table import cells, count_step
from convnext_dense.zoo.roadmap import SWIN

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "roadmap.md"
FIGURE = ROOT / "docs" / "images" / "roadmap.svg"


def as_markdown(regime: str) -> str:
    """Return the table of a regime as the page has it, without speeds."""
    titles = ["step", "what changes", "params (M)", "GFLOPs", "printed", "top-1 (%)"]
    rows = [titles, ["---"] * 2 + ["---:"] * (len(titles) - 2)]
    rows += [cells(count_step(step, regime)) for step in STEPS]
    swin = SWIN[regime]
    beside = f"Swin-{regime[0].upper()} beside it"
    rows.append([beside, "", "", "", f"{swin.gflops:.2f}", f"{swin.top1:.2f}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_the_page_has_the_table(regime):
    begin, end = f"<!-- table of {regime} -->\n", f"<!-- end of {regime} -->\n"
    table = re.compile(f"(?<={begin}).*?(?={end})", re.DOTALL)
    wanted = f"\n{as_markdown(regime)}\n"
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(table.sub(wanted, PAGE.read_text()))
        draw_published(FIGURE)
    assert table.search(PAGE.read_text())[0] == wanted, "run this test with WRITE_DOCS=1"


def test_the_page_reads_every_step():
    page = PAGE.read_text()
    assert [name for name in STEPS if f"- `{name}`" not in page] == []


@pytest.mark.slow
def test_the_figure_is_the_published_one(tmp_path):
    draw_published(tmp_path / "now.svg")
    texts = [re.findall(r"<text .*?>(.*?)<", f.read_text()) for f in (FIGURE, tmp_path / "now.svg")]
    assert texts[0] == texts[1]
    assert "82.0 | 83.6 %    4.49 | 15.35 G" in texts[0]
