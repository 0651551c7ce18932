"""Text of data that is shown, and CSV of it that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convnext_dense.csv_files import as_csv, read_csv
from convnext_dense.text import printable

# Lone surrogates too, as file names that are not UTF-8 have them.
ANY_TEXT = st.text(st.characters(codec=None), max_size=20)
SIGNS = st.sampled_from("=+-@\t\r\n'\" \u00a0\uff1d\x1b\x000.1e\u200d")
FORMULAS = st.text(SIGNS, max_size=8)
BOUNDED = settings(deadline=None, max_examples=300, derandomize=True)


@pytest.mark.slow
@given(ANY_TEXT)
@BOUNDED
def test_what_is_shown_has_nothing_that_a_terminal_obeys(text):
    shown = printable(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown
    shown.encode()
    assert printable(text, lines=True).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[2Jred", r"\x1b[2Jred"),
        ("\x9b31m", r"\x9b31m"),
        ("cat\u202egnp.exe", r"cat\u202egnp.exe"),
        ("a\nerror: b\r", r"a\nerror: b\r"),
        ("\udcff\ud800", r"\udcff\ud800"),
        ("Straße 猫 می\u200cخ 🐈", "Straße 猫 می\u200cخ 🐈"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.slow
@given(st.lists(st.tuples(FORMULAS | ANY_TEXT, st.floats(), st.integers()), min_size=1))
@BOUNDED
def test_csv_reads_back_as_it_was(tmp_path_factory, values):
    rows = [{"class": name, "=AP": figure, "count": count} for name, figure, count in values]
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    file.write_text(as_csv(rows), encoding="utf-8", newline="")
    for row, read in zip(rows, read_csv(file), strict=True):
        assert read["class"] == printable(row["class"])
        assert float(read["=AP"] or "nan") == pytest.approx(row["=AP"], rel=0, nan_ok=True)
        assert int(read["count"]) == row["count"]


@pytest.mark.slow
@given(FORMULAS)
@BOUNDED
def test_no_cell_of_text_is_a_formula(text):
    (_, (cell, _)) = csv.reader(io.StringIO(as_csv([{"class": text, "n": 1}])))
    if cell.lstrip(' \u00a0\u200d"')[:1] in set("=+-@\uff1d"):
        float(cell)


@pytest.mark.parametrize(
    "text, cell",
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" -cmd|' /C calc'!A0", "' -cmd|' /C calc'!A0"),
        ("\t=1", r"\t=1"),
        ('"=1', "'\"=1"),
        ("'=1", "''=1"),
        ("-0.5", "-0.5"),
        ("-1e-3", "-1e-3"),
        ("-1+1", "'-1+1"),
        ("a-b", "a-b"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_which_cells_are_marked(text, cell):
    assert list(csv.reader(io.StringIO(as_csv([{"class": text}]))))[1] == [cell]


def test_numbers_are_no_formulas():
    assert as_csv([{"a": -0.5, "b": float("nan"), "c": -1}]) == "a,b,c\n-0.5,,-1\n"


def test_a_row_that_was_cut_is_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("class,AP\ncat,1\ndog\n")
    with pytest.raises(ValueError, match=r"a\.csv: row 3 has 1 cells, the first 2"):
        read_csv(file)
