"""A few command lines that make no sense; tests/attack/command_lines.py has them by the hundred."""

from __future__ import annotations

import pytest

from convnext_dense.cli.errors import refuse_empty
from convnext_dense.limits import count_cores

SHAPES = ("make_shapes", "shapes")
BACKBONE = ("benchmark", "backbone", "--arch", "atto", "--peers", "none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ((*SHAPES, "--train", "0"), "--train is at least 1, got 0"),
        ((*SHAPES, "--train", "99999999999"), "--train is at most 1000000, got 99999999999"),
        ((*SHAPES, "--seed", "-1"), "--seed is at least 0, got -1"),
        ((*BACKBONE, "--threads", "0"), "--threads is at least 1, got 0"),
        ((*BACKBONE, "--threads", "100000"), "--threads is at most "),
        ((*BACKBONE, "--batch", "99999999999"), "--batch is at most 4096, got 99999999999"),
        ((*BACKBONE, "--min-time", "nan"), "--min-time is a finite number, got nan"),
        ((*BACKBONE, "--shape", "99999999", "64"), "--shape is at most 32768, got 99999999 64"),
        (("data", "check", "{seg}", "--workers", "99999999999"), "--workers is at most "),
        (("data", "show", "{seg}", "-n", "99999999999"), "-n is at most 1024, got 99999999999"),
        (
            ("flops", "{seg}", "--shape", "0", "64"),
            "--shape takes a positive height and width, got 0 64",
        ),
        (("flops", "{seg}", "--cfg-options", "modle.a=1"), "there is no key modle.a"),
        (("flops", "{seg}", "--cfg-options", "train_cfg.max_iters=0"), "train_cfg.max_iters is a "),
        (("infer", "{seg}", "c.pth", "a.jpg", "-o", ""), "-o is empty"),
        (("evaluate", "ade20k", "a", " "), "argument 3 is empty: give a value"),
        (("report", "w", "--pictures-from", "0"), "--pictures-from is at least 1, got 0"),
        (
            ("swap_backbone", "{seg}", "--arch", "atto", "--diff", "--backbone-options", "arch=b"),
            "--backbone-options arch: the backbone takes no argument arch; there is a flag --arch",
        ),
        (
            ("swap_backbone", "{seg}", "--arch", "atto", "--diff", "--backbone-options", "arch"),
            "--backbone-options takes KEY=VALUE, got 'arch'",
        ),
    ],
)
def test_is_refused_by_its_name(cli, line, complaint):
    tool, *argv = (part.format(seg=cli.config["seg"]) for part in line)
    assert complaint in cli.refused(tool, argv)


def test_workers_and_threads_are_four_per_core(cli, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert count_cores() == 3
    message = cli.refused("data", ["check", str(cli.config["seg"]), "--workers", "13"])
    assert message == "--workers is at most 12 on this machine, 4 for each of 3 cores, got 13"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["c.py", "--work-dir", ""], "--work-dir"),
        (["c.py", "--work-dir="], "--work-dir"),
        (["c.py", "-o", "\t"], "-o"),
        (["", "--tta"], "argument 1"),
    ],
)
def test_an_empty_argument(argv, named):
    with pytest.raises(ValueError, match=f"^{named} is empty: give a value"):
        refuse_empty(argv)


def test_what_looks_empty_and_is_not():
    refuse_empty(["c.py", "--cfg-options", "a=", "--seed=0", "-1", "-", "--"])
