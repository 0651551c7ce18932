"""The page: whole, self-contained, escaped; its figures and tables."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from convnext_dense.evaluation.figures import Figures, write_figures
from convnext_dense.report import plots, tables
from convnext_dense.report.page import build_views, render_page
from convnext_dense.report.run import read_runs
from convnext_dense.report.svg import render_svg, run_colour, themed_figure
from convnext_dense.report.validation import ReportOptions
from convnext_dense.zoo import recipes


class Page(HTMLParser):
    """The elements of a page, and the text outside of styles."""

    VOID = {"meta", "link", "img", "br", "wbr"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def page_of(*made, **options):
    runs = read_runs([one.folder for one in made])
    return render_page(build_views(runs, ReportOptions(**options)))


def check_whole(html):
    page = Page(html)
    # Nothing is fetched: what is referred to stands in the page.
    for _, attrs in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "poster"):
            assert re.match(r"data:|#|$", attrs.get(name, "")), attrs
    assert not re.search(r"url\((?!#)|@import", html)
    assert not page.all("script")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = re.findall(r"""(?:url\(|href=")#([^")]+)""", html)
    assert targets
    assert set(targets) <= set(ids)
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all(header["scope"] in ("row", "col") for header in page.all("th"))
    return page


def figures(page):
    return [re.split(" by | of ", svg["aria-label"])[0] for svg in page.all("svg")]


@pytest.mark.slow
def test_a_detector(detector, helpers):
    html = page_of(detector)
    page = check_whole(html)
    assert figures(page) == [
        *("loss", "learning rate", "seconds per iteration", "loss_cls"),
        *("coco/bbox_mAP", "coco/bbox_mAP_50", "precision"),
    ]
    assert len(page.all("img")) == 2 * (2 + 1 + 3)
    for text in ("finished: all 2 epochs", "epoch 2 of 2, iteration 6", "0.300 (epoch 2)",
                 "4 images", "2.13.0+cpu", "There is no recipe my_config"):  # fmt: skip
        assert text in page.text, text
    # A class of that name is shown, and is no element.
    assert helpers["hostile"] in page.text


@pytest.mark.slow
def test_a_segmenter(segmenter, helpers):
    page = check_whole(page_of(segmenter))
    assert figures(page)[-4:] == ["mIoU", "aAcc", "mAcc", "Confusion matrix"]
    assert len(page.all("img")) == 2 * (1 + 1 + 2)
    assert "iteration 20 of 100" in page.text
    assert "Most frequent confusions" in page.text
    assert helpers["hostile"] in page.text


@pytest.mark.slow
def test_control_characters_of_a_name_are_shown(segmenter, helpers):
    name = "\x1b]0;title\x07\x00\u202e$\\frac{\x9b"
    for file in (segmenter.folder / "20260131_120000").rglob("config.py"):
        text = file.read_text().replace(repr(helpers["hostile"]), ascii(name))
        file.write_text(text)
    html = page_of(segmenter)
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", html) is None
    shown = r"\x1b]0;title\x07\x00\u202e$\frac{\x9b"
    assert shown in check_whole(html).text
    assert figures(check_whole(html))[-4:] == ["mIoU", "aAcc", "mAcc", "Confusion matrix"]


@pytest.mark.slow
def test_three_runs_side_by_side(detector, segmenter, tmp_path):
    other = tmp_path / "<b>$x_$&amp;"  # HTML and mathematical text would read it otherwise
    shutil.copytree(detector.folder, other)
    config = next(other.glob("*/vis_data/config.py"))
    config.write_text(config.read_text().replace("max_epochs=2", "max_epochs=3"))
    runs = read_runs([detector.folder, other, segmenter.folder])
    html = render_page(build_views(runs, ReportOptions()))
    page = check_whole(html)
    assert len(page.all("img")) == 2 * (2 + 1 + 2) * 2 + 2 * (1 + 1 + 2)
    for number in range(3):
        assert f"stroke: var(--run{number})" in html
    for text in ("What the runs differ in", "max_epochs", other.name):
        assert text in page.text, text


def test_a_run_without_anything(work_dir):
    made = work_dir("<img src=x>")
    (made.folder / "20260131_120000" / "vis_data").mkdir(parents=True)
    html = page_of(made)
    page = Page(html)
    assert not page.all("img")
    assert not page.all("svg")
    for text in ("No training step was recorded", "No validation was recorded yet", "No pictures",
                 "there is no config", "No log tells of the environment"):  # fmt: skip
        assert text in page.text, text


@pytest.mark.slow
def test_a_part_that_fails_leaves_the_others(detector, tmp_path):
    (tmp_path / "coco" / "val.json").write_text("[")
    page = check_whole(page_of(detector))
    assert "val.json" in page.text
    assert "is not JSON" in page.text
    assert figures(page)[:2] == ["loss", "learning rate"]


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_leaves_the_others(work_dir, helpers):
    # JSON can hold half of a character, which no font has.
    records = [*helpers["training"]([1, 2]), {"a\x01": 1.0, "b\ud800": 2.0, "c": 3.0, "step": 2}]
    made = work_dir().start("20260131_120000", helpers["lines"](records))
    html = page_of(made)
    html.encode()
    page = check_whole(html)
    assert figures(page)[-2:] == [r"a\x01", "c"]
    assert r"b\ud800 cannot be shown: " in page.text


@pytest.mark.slow
def test_a_confusion_that_cannot_be_drawn_leaves_its_table(segmenter):
    config = next(segmenter.folder.glob("*/vis_data/config.py"))
    config.write_text(config.read_text().replace("'road'", "'ro\\ud800ad'"))
    page = check_whole(page_of(segmenter))
    assert "Confusion of segmenter cannot be shown: " in page.text
    assert "Most frequent confusions of segmenter" in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name", "says"),
    [
        (tables, "summary_table", "The summary"),
        (tables, "run_figures", "The figures of segmenter"),
        (tables, "figures_tables", "The table of figures"),
        (tables, "class_tables", "The table of classes"),
        (tables, "environment_table", "The environment"),
        (plots, "training_plots", "Figures of training"),
        (plots, "loss_plots", "Parts of the loss"),
        (plots, "metric_plots", "Figures over time"),
        (plots, "recall_plots", "Precision over recall"),
        (plots, "confusions", "The confusion of segmenter"),
    ],
)
def test_whatever_fails_the_page_says_so(place, name, says, segmenter, monkeypatch):
    def fail(*args):
        raise KeyError("nothing <here>")

    monkeypatch.setattr(place, name, fail)
    page = check_whole(page_of(segmenter))
    assert f"{says} cannot be shown: KeyError: 'nothing <here>'" in page.text
    assert page.all("img")


@pytest.mark.slow
def test_a_failed_run_shows_its_error(segmenter):
    (segmenter.folder / "train.err").write_text("error: <disk> is full\n")
    page = check_whole(page_of(segmenter))
    assert "failed" in page.text
    assert "error: <disk> is full" in page.text


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_told(work_dir, helpers):
    records = helpers["training"]([1, 2, 3])
    records[1]["loss"] = float("nan")
    made = work_dir().start("20260131_120000", helpers["lines"](records))
    page = check_whole(page_of(made))
    assert "the loss is not a finite number from iteration 2 on" in page.text


@pytest.mark.slow
def test_memory_is_drawn_where_it_was_logged(work_dir, helpers):
    records = helpers["training"]([1, 2, 3])
    assert "No memory was logged" in page_of(
        work_dir("cpu").start("20260131_120000", helpers["lines"](records))
    )
    records = [record | dict(memory=1000 + record["step"]) for record in records]
    page = check_whole(page_of(work_dir("gpu").start("20260131_120000", helpers["lines"](records))))
    assert "GPU memory in MB" in figures(page)
    assert "1003" in page.text
    assert "No memory was logged" not in page.text


@pytest.mark.slow
def test_a_run_by_epoch_beside_one_by_iteration(detector, segmenter):
    by_epoch, by_iteration = read_runs([detector.folder, segmenter.folder])
    (main,), _ = plots.metric_plots([by_epoch])
    assert "coco/bbox_mAP by epoch: detector from 0.1 to 0.3" in main.svg
    main, _ = plots.metric_plots([by_epoch, by_iteration])
    # Epoch 2 ended at iteration 6.
    assert "coco/bbox_mAP by iteration" in main[0].svg
    assert plots.validation_steps(by_epoch, by_epoch=False).tolist() == [3, 6]


@pytest.mark.slow
def test_a_recipe_that_cannot_be_read_is_told(detector, tmp_path, monkeypatch):
    (tmp_path / "configs" / "mine").mkdir(parents=True)
    (tmp_path / "configs" / "mine" / "my_config.py").write_text("_base_ = 'missing.py'")
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "configs")
    assert "the recipe mine/my_config could not be loaded" in Page(page_of(detector)).text


@pytest.mark.slow
def test_figures_on_a_part_are_called_so(segmenter):
    (view,) = build_views(read_runs([segmenter.folder]), ReportOptions())
    assert "a part" not in Page(render_page([view])).text
    part = tables.RunFigures(view.found.outcome.figures, "here", 1, 2)
    assert part.is_part
    assert not tables.run_figures(view.run, view.found).is_part


@pytest.mark.slow
def test_figures_of_a_test_come_first(segmenter):
    rows = [{"class": "sky", "IoU": 12.34}]
    beside = dict(name="T", figures=[dict(metric="mIoU", here=1, published=46.0)], unlike=["few"])
    write_figures(
        segmenter.folder, Figures({"mIoU": 12.34}, rows), images=2, checkpoint="d/best.pth",
        tta=True, published=beside,
    )  # fmt: skip
    page = check_whole(page_of(segmenter))
    assert "a test with best.pth, 2 images, multi-scale and flip" in page.text
    assert "12.34" in page.text
    assert "published 46.0" in page.text
    assert "Not comparable: few" in page.text


def evaluated(images=2, tta=False, **summary):
    return tables.RunFigures(Figures(summary), "here", images, images, tta)


def test_the_best_of_each_row_is_marked():
    found = [evaluated(bbox_AP=0.1, bbox_APs=-1.0), None, evaluated(bbox_AP=0.3, bbox_APs=-1.0)]
    (table,) = tables.figures_tables(["a", "b", "c"], found)
    assert table.title == "Boxes"
    assert [(row.title, row.cells, row.best) for row in table.rows] == [
        ("AP", ["0.100", "-", "0.300"], [2]),
        ("APs", ["-", "-", "-"], []),
    ]


def test_runs_of_two_tasks_are_not_ranked(detector, segmenter, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(detector.folder, other)
    scalars = next(other.glob("*/vis_data/scalars.json"))
    scalars.write_text(scalars.read_text().replace('"loss": 2.0', '"loss": 0.5'))

    def best(*folders):
        rows = tables.summary_table(read_runs(folders)).rows
        return next(row.best for row in rows if row.title == "last loss")

    assert best(detector.folder, other) == [1]
    assert best(detector.folder, segmenter.folder) == []


@pytest.mark.parametrize("other", [dict(images=3), dict(tta=True)])
def test_figures_of_another_kind_are_not_compared(other):
    found = [evaluated(mIoU=40.0), evaluated(mIoU=50.0, **other)]
    (table,) = tables.figures_tables(["a", "b"], found)
    assert not table.rows[0].best
    found[1] = evaluated(mIoU=50.0)
    assert tables.figures_tables(["a", "b"], found)[0].rows[0].best == [1]


def test_classes_of_several_runs():
    def one(**ious):
        rows = [{"class": name, "IoU": iou} for name, iou in ious.items()]
        return tables.RunFigures(Figures({}, rows), "here", 2, 2)

    (table,) = tables.class_tables(
        ["a", "b"], [one(sky=1.0, road=float("nan")), one(sky=2.0, car=3.0)]
    )
    assert [(row.title, row.cells, row.best) for row in table.rows] == [
        ("sky", ["1.00", "2.00"], [1]),
        ("road", ["-", "-"], []),
        ("car", ["-", "3.00"], []),
    ]


@pytest.mark.slow
def test_figures_follow_the_page_and_keep_their_ids_apart():
    def draw(prefix):
        with themed_figure(4, 3) as figure:
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], color=run_colour(9), marker="o")
            axes.set_xlabel("a < $b$")
            return str(render_svg(figure, prefix, 'x " <'))

    first, second = draw("one"), draw("two")
    root = ElementTree.fromstring(first)
    assert root.get("aria-label") == 'x " <'
    assert "a < $b$" in "".join(root.itertext())
    assert "currentColor" in first
    assert "stroke: var(--run1)" in first  # colours come again after the eighth
    assert "#0102" not in first
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", first)
    assert first.replace("one-", "two-") == second
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))


def test_long_curves_are_thinned_to_means():
    x = np.arange(10_000.0)
    y = np.where(x < 5000, 1.0, 3.0)
    y[:7] = np.nan
    few_x, few_y = plots.thin_out(x, y)
    assert len(few_x) == len(few_y) == plots.MOST_POINTS
    assert few_y == pytest.approx(np.where(few_x < 5000, 1.0, 3.0))


@pytest.mark.slow
def test_many_runs_and_classes_stay_readable(segmenter):
    confusion = np.eye(150, 151, dtype=np.int64) * 9
    names = [f"class {number}" for number in range(150)]
    plot = plots.confusion_plot(confusion, names, "run", "c0")
    assert "class 7" not in plot.svg  # names would overlap
    assert "100 percent on average" in plot.svg
    few = plots.confusion_plot(confusion[:3, [0, 1, 2, -1]], names[:3], "run", "c0")
    assert "class 2" in few.svg
