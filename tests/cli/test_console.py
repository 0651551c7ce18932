"""What a training and a test print, from their first line to the last."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f]")
FIRST = {"det": "coco/bbox_mAP", "seg": "mIoU"}


@pytest.fixture(params=["det", "seg"])
def run(request, trained) -> tuple[str, Path, list[str]]:
    """The kind of a run, its work directory, and the lines that it printed."""
    work_dir = trained[request.param]
    return request.param, work_dir, (work_dir / "said.txt").read_text().splitlines()


def facts(lines: list[str]) -> dict[str, str]:
    """Return facts by title."""
    return dict(line.split(maxsplit=1) for line in lines if re.match(r"[a-z]+ {2,}\S", line))


def test_a_run_begins_with_what_it_is(run):
    kind, work_dir, lines = run
    opening = lines[: lines.index("")]
    assert len(opening) <= 16
    assert not any(CONTROL.search(line) for line in lines)
    told = facts(opening)
    assert Path(told["recipe"]).is_file()
    assert "--img-size" in told["changed"] and "--cfg-options" in told["changed"]
    assert "--work-dir" not in told["changed"]
    assert re.search(r"ConvNeXt of its own sizes .* M parameters, [\d.]+ GFLOPs", told["model"])
    assert told["weights"] == "random values"
    assert re.fullmatch({"det": r"6 images, \d+ objects", "seg": "6 images"}[kind], told["train"])
    assert re.fullmatch({"det": r"4 images, \d+ objects", "seg": "3 images"}[kind], told["val"])
    assert told["classes"].startswith({"det": "5: circle, ", "seg": "3: left, "}[kind])
    assert told["batch"] == "2 images per step"
    assert (
        told["length"]
        == {
            "det": "3 epochs of 3 iterations, validated every epoch",
            "seg": "6 iterations, validated every 2 iterations",
        }[kind]
    )
    assert told["optimizer"].startswith("AdamW, learning rate ")
    assert told["device"].endswith(", float32")
    assert "  Config:" not in lines and (work_dir / told["log"]).is_file()


def test_the_log_has_what_the_console_has_not(run, cli):
    _, work_dir, lines = run
    log = cli.log(work_dir)
    for words in (
        "System environment:",
        "Config:\n",
        "Hooks will be executed",
        "Saving checkpoint",
    ):
        assert words in log
        assert words.strip() not in "\n".join(lines)
    assert len(log.splitlines()) > 10 * len(lines)
    assert "pycocotools" not in "\n".join(lines) and "creating index" not in "\n".join(lines)


def test_each_logged_iteration_has_a_line(run):
    kind, _, lines = run
    logged = [line for line in lines if " it/s " in line and "iteration" in line]
    total = {"det": 9, "seg": 6}[kind]
    counts = [re.search(r"iteration (\d+)/(\d+)", line).groups() for line in logged]
    assert counts == [(str(n), str(total)) for n in range(1, total + 1)]
    assert all(re.search(r"loss \d+\.\d{4} ", line) for line in logged)
    assert logged[0].startswith("epoch 1/3 ") is (kind == "det")
    assert logged[-1].endswith(" GB") and " 0:00:00 left " in logged[-1]


def test_each_validation_has_a_table_with_the_best_one_marked(run, cli):
    kind, work_dir, lines = run
    tables = [index for index, line in enumerate(lines) if line.split()[:1] == ["validation"]]
    tables = [index for index in tables if "it/s" not in lines[index]]
    assert len(tables) == 3
    titles = lines[tables[-1]].split()
    assert titles[1] == FIRST[kind].removeprefix("coco/")
    rows = lines[tables[-1] + 2 : tables[-1] + 5]
    scores = [float(row.replace("* best", "").split()[2]) for row in rows]
    validated = [entry[FIRST[kind]] for entry in cli.logged(work_dir) if FIRST[kind] in entry]
    assert scores == pytest.approx(validated, abs=0.005)
    (best,) = [index for index, row in enumerate(rows) if "* best" in row]
    assert validated[best] == max(validated)
    (kept,) = work_dir.glob("best_*.pth")
    place = rows[best].split()
    assert kept.stem.endswith(f"{place[0].replace('iteration', 'iter')}_{place[1]}")


def test_a_run_ends_with_where_everything_is_and_the_next_command(run):
    _, _, lines = run
    told = facts(lines[len(lines) - lines[::-1].index("") :])
    assert list(told) == ["best", "last", "config", "log", "next"]
    assert all(Path(told[name]).is_file() for name in ("best", "last", "config", "log"))
    command = shlex.split(told["next"])
    assert command[-3:] == ["tools/test.py", told["config"], told["best"]]


def test_verbose_brings_mmengines_log_back(cli):
    flags = ["--weights", "none", "--work-dir", "w", "--verbose"]
    said = cli.train("seg", *flags, options=f"{cli.short_run['seg']} train_cfg.max_iters=2")
    log = cli.log("w")
    assert "mmengine - INFO - Config:\n" in said
    assert "mmengine - INFO - Iter(train) [2/2]" in said
    assert not re.search(r"iteration 2/2 .* it/s", said)
    shown = [line for line in log.splitlines() if " - INFO - " in line]
    assert all(line.partition(" - ")[2] in said for line in shown)


def test_the_tests_of_a_model(cli, trained):
    said = cli.test("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w")
    lines = said.splitlines()
    told = facts(lines)
    assert told["weights"] == f"{trained['seg'] / 'iter_6.pth'}, a whole model"
    assert told["test"] == "3 images"
    assert told["log"].startswith("w/")
    assert told["figures"] == "w/metrics.json and w/per_class.csv"
    assert len(lines) < 40
    assert "mmengine" not in said
