"""What the elements of the console look like, at any width."""

from __future__ import annotations

import pytest

from convnext_dense.cli.console import elements
from convnext_dense.training.observer import TRAIN, VALIDATION, Step, Validation

WIDTHS = (20, 39, 40, 60, 80, 120, 200)
FACTS = {
    "recipe": "configs/det/cascade_convnext_t_coco.py",
    "changed": "--data-root data/shapes --classes circle,square,triangle,star,ring --seed 0",
    "log": "/home/somebody/work_dirs/with/a/very/long/path/without/any/space/20261128.log",
}
STEP = Step(TRAIN, 120, 240, (2, 4), 1.23456, 3.21, 37.4, 1_234_000_000, is_logged=True)


def lines(text: object) -> list[str]:
    return str(text).splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_facts_are_as_wide_as_the_terminal_and_no_word_is_broken(width):
    shown = lines(elements.facts(FACTS, width))
    assert all(len(line) <= width or len(line.split()) <= 2 for line in shown)
    assert " ".join(shown).split() == " ".join(f"{k} {v}" for k, v in FACTS.items()).split()
    starts = [line.split()[0] for line in shown if not line.startswith(" ")]
    assert starts == list(FACTS)


def test_facts_in_a_file_have_one_line_each():
    shown = lines(elements.facts(FACTS))
    assert [line.partition(" ")[0] for line in shown] == list(FACTS)
    assert [line[elements.TITLES :] for line in shown] == list(FACTS.values())


def test_names_that_a_terminal_would_obey_are_escaped():
    hostile = "a\x1b[2J\nb"
    validated = [Validation("epoch 1", {hostile: 1.0})]
    for text in (
        elements.facts({"classes": hostile}, 80),
        elements.note(hostile, 80),
        elements.validations(validated, 0, hostile),
    ):
        assert r"a\x1b[2J\nb" in str(text)


def test_progress_in_a_file_has_everything():
    assert str(elements.progress(STEP)) == (
        "epoch 2/4  iteration 120/240  loss 1.2346  3.2 it/s  0:00:37 left  1.2 GB"
    )


@pytest.mark.parametrize("width", range(4, 130))
def test_progress_fits_into_the_terminal(width):
    (shown,) = lines(elements.progress(STEP, width))
    assert len(shown) <= max(width, len("120/240"))
    assert "120/240" in shown


@pytest.mark.parametrize(
    ("width", "there", "missing"),
    [
        (120, ["━", "epoch", "loss", "it/s", "left", "GB"], []),
        (80, ["epoch", "loss", "it/s", "left", "GB"], ["━"]),
        (60, ["loss", "it/s", "left"], ["GB"]),
        (40, ["loss 1.2346"], ["epoch", "it/s"]),
        (12, ["120/240"], ["iteration"]),
    ],
)
def test_what_matters_least_is_left_out_first(width, there, missing):
    shown = str(elements.progress(STEP, width))
    assert all(part in shown for part in there)
    assert not any(part in shown for part in missing)


def test_what_is_not_known_is_not_said():
    first = Step(VALIDATION, 1, 6, None, None, None, None, None, is_logged=False)
    assert str(elements.progress(first)) == "validation 1/6"


def test_the_bar_is_as_long_as_what_is_done():
    drawn = [str(elements.bar(done, 4, 8)) for done in (0, 1, 4)]
    assert drawn == ["────────", "━━──────", "━━━━━━━━"]


def table(*scores: float, best: int, width: int | None = None) -> list[str]:
    validated = [
        Validation(
            f"epoch {n}", {"coco/bbox_mAP_50": 0.5, "coco/bbox_mAP": s, "coco/bbox_mAP_l": -1}
        )
        for n, s in enumerate(scores, 1)
    ]
    text = elements.validations(validated, best, "coco/bbox_mAP", width)
    return [line.rstrip() for line in text.splitlines()]


def test_the_best_validation_is_marked():
    head, _, *rows = table(0.1, 0.3, 0.2, best=1)
    assert head.split() == ["validation", "bbox_mAP", "bbox_mAP_50", "bbox_mAP_l"]
    assert [row.split() for row in rows] == [
        ["epoch", "1", "0.100", "0.500", "-"],
        ["epoch", "2", "*", "best", "0.300", "0.500", "-"],
        ["epoch", "3", "0.200", "0.500", "-"],
    ]


def test_a_long_training_shows_the_last_validations_and_the_best():
    rows = table(*(0.9 if n == 3 else 0.1 for n in range(40)), best=3)[2:]
    assert [int(row.split()[1]) for row in rows] == [4, 36, 37, 38, 39, 40]
    assert [row for row in rows if "best" in row] == rows[:1]


def test_none_is_the_best_where_an_earlier_process_was_better():
    assert not any("best" in row for row in table(0.1, best=-1))


@pytest.mark.parametrize("width", [40, 50, 80])
def test_a_narrow_table_leaves_the_last_figures_out(width):
    shown = table(0.1, 0.2, best=1, width=width)
    assert max(map(len, shown)) <= width
    assert "bbox_mAP" in shown[0].split()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (200_000, "2 d 7:33:20")],
)
def test_durations(seconds, shown):
    assert elements.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1234, "0.123"), (45.678, "45.68"), (-1.0, "-"), (None, "-"), (1, "1.000")],
)
def test_figures(value, shown):
    assert elements.figure(value) == shown
