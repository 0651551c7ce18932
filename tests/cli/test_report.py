"""tools/report.py on the runs that the tests trained."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from convnext_dense.cli.main import parse_args

pytestmark = pytest.mark.slow


def report(cli, *argv):
    status, out, err = cli.call("report", list(map(str, argv)))
    assert status == 0, err
    return out


@pytest.mark.parametrize(("kind", "images"), [("det", 4), ("seg", 3)])
def test_a_run_is_predicted_and_shown(cli, trained, kind, images):
    said = report(cli, trained[kind], "--device", "cpu")
    assert said.splitlines()[-1] == "1 run: report.html"
    assert "has no pictures" not in said
    html = Path("report.html").read_text()
    assert f"{images} of {images} validation images" in html
    assert "finished: all" in html
    assert "Difference from the recipe" in html
    assert "model.<wbr>backbone.<wbr>arch" in html
    assert "(best)" not in html  # of one run
    assert html.count("data:image/jpeg") >= 4
    assert ("Precision and recall" in html) == (kind == "det")
    assert ("Confusion of" in html) == (kind == "seg")


def test_figures_predicted_here_are_those_of_a_test(cli, trained, tmp_path):
    shutil.copytree(trained["seg"], "run")
    report(cli, "run", "-o", "predicted.html", "--device", "cpu")
    (checkpoint,) = Path("run").glob("best_*.pth")
    cli.test("seg", checkpoint, "--work-dir", "run", "--out", "run/labels")
    report(cli, "run", "-o", "tested.html", "--no-predict")
    predicted, tested = (Path(f"{name}.html").read_text() for name in ("predicted", "tested"))
    assert "a test with" in tested
    assert "labels, kept by a test, 3 of 3" in tested

    def figures(html):
        return re.findall(r"<tr><th scope=\"row\">(mIoU|mAcc|aAcc)</th><td>([\d.]+)</td>", html)

    assert len(figures(predicted)) == 3
    assert figures(predicted) == figures(tested)


def test_a_part_of_the_images(cli, trained):
    report(cli, trained["seg"], "--pictures-from", 2, "--device", "cpu")
    assert "2 of 3 validation images: a part" in Path("report.html").read_text()


def test_two_runs_and_no_predictions(cli, trained):
    said = report(cli, trained["det"], trained["seg"], "--no-predict", "-o", "two.html")
    assert said.count("has no pictures: --no-predict") == 2
    html = Path("two.html").read_text()
    assert "python tools/report.py" in html
    assert "What the runs differ in" in html


def test_a_moved_data_set_is_named_and_followed(cli, trained, ade):
    shutil.copytree(trained["seg"], "run")
    for config in Path("run").rglob("*.py"):
        config.write_text(config.read_text().replace(str(ade), "/nowhere/ade"))
    said = report(cli, "run", "--device", "cpu")
    assert "data root /nowhere/ade" in said
    assert "give the data set's folder by --data-root" in said
    html = Path("report.html").read_text()
    assert "give the data set&#39;s folder by --data-root" in html
    assert re.search(r"python tools/test\.py .*--work-dir run --out run/predictions", html)
    assert "python tools/report.py run --data-root FOLDER" in html
    report(cli, "run", "--device", "cpu", "--data-root", ade)
    assert "3 of 3 validation images" in Path("report.html").read_text()


def test_a_checkpoint_of_another_model_is_told_in_the_page(cli, trained):
    shutil.copytree(trained["seg"], "run")
    (best,) = Path("run").glob("best_*.pth")
    best.write_bytes((trained["det"] / "epoch_3.pth").read_bytes())
    assert "does not fit this model" in report(cli, "run", "--device", "cpu")
    assert "does not fit this model" in Path("report.html").read_text()


def test_refusals(cli, trained, tmp_path):
    assert cli.refused("report", ["missing"]) == "there is no work directory missing"
    assert "has no run: tools/train.py writes" in cli.refused("report", [str(tmp_path)])
    run = str(trained["seg"])
    assert "there is no folder no" in cli.refused("report", [run, "-o", "no/report.html"])
    assert "is a folder: name a file" in cli.refused("report", [run, "-o", str(tmp_path)])
    assert "at least 1, got 0" in cli.refused("report", [run, "--pictures-from", "0"])
    assert "GPUs" in cli.refused("report", [run, "--device", "cuda:99"])
    assert "given more than once" in cli.refused("report", [run, run])
    assert not list(tmp_path.glob("*.html"))


def test_an_earlier_page_stays_where_the_new_cannot_be_written(cli, trained, monkeypatch):
    Path("report.html").write_text("earlier")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    said = cli.refused("report", [str(trained["seg"]), "--no-predict"])
    assert "could not write report.html: No space left on device" in said
    assert Path("report.html").read_text() == "earlier"


def test_help_has_an_example(cli, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args("report", ["--help"])
    assert stop.value.code == 0
    assert "tools/report.py work_dirs/shapes" in capsys.readouterr().out
