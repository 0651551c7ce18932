"""convnext-dense doctor: what it prints, writes and returns."""

import json

import pytest

from convnext_dense.cli.errors import run_tool
from convnext_dense.cli.main import main
from convnext_dense.doctor import examine
from convnext_dense.doctor.finding import Finding, Verdict

FINDINGS = [
    Finding("operator nms on cpu", Verdict.FIT, "plain torch, equal to its definition"),
    Finding("shared memory", Verdict.WRONG, "0.1 GB free", "train with `workers=0`"),
    Finding("GPU", Verdict.NOT_SEEN, "torch has no CUDA"),
]


@pytest.fixture
def finds(monkeypatch):
    def pretend(*findings):
        monkeypatch.setattr(examine, "examine", lambda *args, **kwargs: iter(findings))

    return pretend


def doctor(*flags):
    try:
        return run_tool(main, ["doctor", *flags])
    except SystemExit as end:
        return end.code


def test_a_line_for_each_finding_and_the_way_out(finds, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    finds(*FINDINGS)
    assert doctor() == 1
    assert capsys.readouterr().out.splitlines() == [
        "fit       operator nms on cpu: plain torch, equal to its",
        "          definition",
        "wrong     shared memory: 0.1 GB free",
        "          way out: train with --workers 0",
        "not seen  GPU: torch has no CUDA",
        "1 fit, 1 wrong, 1 not seen",
    ]


def test_status_0_where_nothing_is_wrong(finds, capsys):
    finds(FINDINGS[0], FINDINGS[2])
    assert doctor("--quick") == 0


def test_json_also_of_what_was_found_before_an_interrupt(monkeypatch, tmp_path, capsys):
    def interrupted(*args, **kwargs):
        yield FINDINGS[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(examine, "examine", interrupted)
    assert doctor("--json", str(tmp_path / "found.json")) == 130
    (finding,) = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert finding["name"] == "operator nms on cpu"


def test_rows_to_paste(finds, capsys):
    finds(Finding("backbone tiny", Verdict.FIT, figures={"row": "| tiny | 1 | 2 |"}))
    assert doctor("--full", "--rows") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "| tiny | 1 | 2 |" and lines[-2].startswith("|---")
    assert any(line.endswith("doctor --full --rows") for line in lines)
    finds(FINDINGS[0])
    doctor("--rows")
    assert "no rows" in capsys.readouterr().out


def test_control_characters_of_a_driver_are_escaped(finds, capsys):
    finds(Finding("cuda:0", Verdict.WRONG, "bad\x1b[31m driver"))
    doctor()
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "x"], "--recipe needs --full"),
        (["--workers", "-1"], "--workers"),
        (["--quick", "--full"], "not allowed with"),
        (["--json", "{file}/x.json"], "x.json"),
    ],
)
def test_bad_flags(flags, said, capsys, tmp_path):
    (tmp_path / "file").touch()
    flags = [flag.format(file=tmp_path / "file") for flag in flags]
    assert doctor(*flags) in (1, 2)
    assert said in capsys.readouterr().err
