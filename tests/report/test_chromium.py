"""The page in a real browser: nothing to complain of, every figure there, no sideways scrolling."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from convnext_dense.report.page import build_views, render_page
from convnext_dense.report.run import read_runs
from convnext_dense.report.validation import ReportOptions

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Runs in a copy of the page that lets scripts run, and writes what it sees into the page.
MEASURE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const drawn = [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect());
  const seen = {
    pictures: [...document.images].filter(one => one.complete && one.naturalWidth > 0).length,
    figures: drawn.filter(box => box.width > 200 && box.height > 100).length,
    inside: innerWidth,
    whole: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    text: getComputedStyle(document.querySelector("svg text")).fill,
    cut: [...document.querySelectorAll("table.wrap")].map(
      one => one.scrollWidth - one.parentElement.clientWidth),
    line: [...document.querySelectorAll("svg path")].map(one => getComputedStyle(one).stroke),
  };
  document.title = "SEEN" + JSON.stringify(seen) + "SEEN";
});</script></body>"""


@pytest.fixture(scope="module")
def chromium():
    """Call a headless Chromium with a page; give its DOM and what it logged."""
    installed = [path for name in NAMES if (path := shutil.which(name))]
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    installed += [str(path) for path in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))]
    if not installed:
        pytest.skip(f"no Chromium: neither {', '.join(NAMES)} nor playwright's")

    def call(page: Path, *flags: str) -> tuple[str, str]:
        command = [installed[0], "--headless", "--no-sandbox", "--disable-gpu", *flags]
        command += ["--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}"]
        done = subprocess.run(
            [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return call


@pytest.fixture
def page(detector, segmenter, tmp_path) -> tuple[Path, str]:
    """Three runs of both tasks side by side, in tables wider than a telephone."""
    other = tmp_path / "another_run_of_a_long_name_whose_boxes_are_the_best"
    shutil.copytree(detector.folder, other)
    scalars = next(other.glob("*/vis_data/scalars.json"))
    scalars.write_text(scalars.read_text().replace('"coco/bbox_mAP": 0.3', '"coco/bbox_mAP": 0.5'))
    runs = read_runs([detector.folder, segmenter.folder, other])
    html = render_page(build_views(runs, ReportOptions()))
    assert " (best)" in html
    file = tmp_path / "report.html"
    file.write_text(html)
    return file, html


def test_the_browser_has_nothing_to_complain_of(chromium, page):
    file, _ = page
    dom, said = chromium(file, "--window-size=1280,900")
    assert "</html>" in dom
    assert ":CONSOLE" not in said, said


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_there_and_nothing_scrolls_sideways(chromium, page, width, dark):
    file, html = page
    copy = re.sub(r"<meta http-equiv=[^>]*>", "", html).replace("</body>", MEASURE)
    # A window can be no narrower than 500 pixels; a frame can.
    file.with_name("copy.html").write_text(copy)
    frame = file.with_name("frame.html")
    frame.write_text(
        f'<iframe src="copy.html" style="width: {width}px; height: 900px; border: 0"></iframe>'
        "<script>setInterval(() => { const inner = frames[0].document.title;"
        "if (inner.startsWith('SEEN')) document.title = inner; }, 50)</script>"
    )
    flags = ["--allow-file-access-from-files", "--virtual-time-budget=5000", "--hide-scrollbars"]
    flags += [
        "--window-size=1400,1000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    ]
    dom, said = chromium(frame, *flags)
    found = re.search(r"SEEN({.*?})SEEN", dom)
    assert found, said
    seen = json.loads(found[1])
    assert seen["pictures"] == html.count("<img ") > 0
    assert seen["figures"] == html.count("<svg ") > 0
    assert seen["inside"] == seen["whole"] == width
    assert len(seen["cut"]) == 1  # the confusions of the segmenter
    assert max(seen["cut"]) <= 0
    # Text and lines follow the page.
    light, deep = "rgb(255, 255, 255)", "rgb(21, 24, 28)"
    assert seen["background"] == (deep if dark else light)
    assert seen["text"] == ("rgb(230, 232, 235)" if dark else "rgb(26, 29, 33)")
    assert ("rgb(86, 168, 224)" if dark else "rgb(0, 114, 178)") in seen["line"]
