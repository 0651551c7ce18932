"""What reaches the screen: a live line in a terminal, plain lines in a file, little of others."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import re
import sys
import sysconfig
import warnings
from functools import partial
from pathlib import Path

import pyte
import pytest
from mmengine.logging import MMLogger, print_log
from rich.text import Text

from convnext_dense.cli.console import elements
from convnext_dense.cli.console.current import counting, open_screen, show_note
from convnext_dense.cli.console.libraries import Once, is_library
from convnext_dense.cli.console.run import RunConsole
from convnext_dense.cli.console.screen import Screen
from convnext_dense.training.observer import TRAIN, Outcome, Step, Validation

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f]")
LIBRARY = Path(sysconfig.get_path("purelib"), "some_library", "code.py")


class Terminal(io.StringIO):
    """A stream that says it is a terminal, with an emulator behind it."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, 30)
        self.emulator = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.emulator.feed(text.replace("\n", "\r\n"))  # as a terminal's driver does
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        """The lines that are seen now, without empty ones at the end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes a terminal the standard output."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def make(columns: int = 80) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", made := Terminal(columns))
        return made

    return make


@pytest.fixture
def file(monkeypatch):
    """Return a function that makes a file the standard output."""

    def make() -> io.StringIO:
        monkeypatch.setattr(sys, "stdout", made := io.StringIO())
        return made

    return make


def in_library(code: str, **names: object) -> None:
    """Run code as if it were a library's."""
    exec(compile(code, str(LIBRARY), "exec"), {"__name__": "some_library.code", **names})


def step(number: int, *, is_logged: bool = False) -> Step:
    return Step(TRAIN, number, 40, (1, 4), 0.5, 2.0, 20.0, 10**9, is_logged)


def run(screen: Screen) -> None:
    """Report a short run."""
    with RunConsole(screen, lambda outcome: f"test {outcome.config}").shown() as console:
        console.note("`seed=1`: a note before the first facts")
        console.facts({"recipe": "a.py"})
        console.facts({"model": "Model", "log": "w/a.log"})
        for number in range(1, 41):
            console.step(step(number, is_logged=number % 10 == 0))
        console.validated([Validation("epoch 4", {"mIoU": 50.0, "aAcc": 60.0})], 0, "mIoU")
        console.ended(Outcome({"best": "w/best.pth"}, Path("w/a.py"), Path("w/best.pth")))


def test_a_run_in_a_file(file):
    made = file()
    with open_screen() as screen:
        run(screen)
    said = made.getvalue()
    assert not CONTROL.search(said)
    lines = said.splitlines()
    assert lines[:5] == [
        "recipe       a.py",
        "note: --seed 1: a note before the first facts",
        "model        Model",
        "log          w/a.log",
        "",
    ]
    logged = [line for line in lines if "it/s" in line]
    assert [line.split()[3] for line in logged] == ["10/40", "20/40", "30/40", "40/40"]
    assert lines[-2:] == ["best         w/best.pth", "next         test w/a.py"]
    assert any(line.split() == ["epoch", "4", "*", "best", "50.00", "60.00"] for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_run_in_a_terminal(terminal, columns, monkeypatch):
    monkeypatch.setattr("convnext_dense.cli.console.screen._PAUSE", 0)
    shown = terminal(columns)
    with open_screen() as screen:
        console = RunConsole(screen)
        console.facts({"recipe": "a.py"})
        for number in (1, 2, 3):
            console.step(step(number))
            assert shown.lines[0].split() == ["recipe", "a.py"]
            assert len(shown.lines) == 2 and f"{number}/40" in shown.lines[1]
        print("above")
        assert shown.lines[1] == "above" and "3/40" in shown.lines[2]
        console.validated([Validation("epoch 1", {"mIoU": 50.0})], 0, "mIoU")
        assert "3/40" in shown.lines[-1] and any("* best" in line for line in shown.lines)
        assert not shown.screen.cursor.hidden
        run(screen)
    assert not any("it/s" in line for line in shown.lines)
    assert shown.lines[-1].startswith("next")


def test_a_line_that_is_interrupted_is_deleted(terminal):
    shown = terminal()
    with (
        pytest.raises(KeyboardInterrupt),
        open_screen() as screen,
        RunConsole(screen).shown() as console,
    ):
        console.step(step(1))
        assert "1/40" in shown.lines[-1]
        raise KeyboardInterrupt
    assert shown.lines == [""]


def test_notes_are_not_lost_where_a_run_is_refused(file):
    made = file()
    with (
        pytest.raises(ValueError, match="refused"),
        open_screen() as screen,
        RunConsole(screen).shown() as console,
    ):
        console.note("what was found until then")
        raise ValueError("refused")
    assert made.getvalue() == "note: what was found until then\n"


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_colours_and_movements_can_be_refused(terminal, monkeypatch, name):
    shown = terminal()
    monkeypatch.setenv(name, "dumb")
    with open_screen() as screen:
        run(screen)
    colours = re.findall(r"\x1b\[[\d;]*3\dm", shown.getvalue())
    assert colours == []
    if name == "TERM":
        assert "\x1b" not in shown.getvalue()


def test_a_terminal_without_unicode_gets_a_bar_too(terminal, monkeypatch):
    shown = terminal(120)
    shown.encoding = "ascii"
    with open_screen() as screen:
        screen.draw(partial(elements.progress, step(20)))
        assert shown.lines[-1].startswith("=====") and shown.lines[-1].isascii()


def test_a_screen_that_is_gone_does_not_end_a_run(monkeypatch):
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for stream in (Gone(), type("Closed", (Gone,), {"isatty": lambda self: False})()):
        monkeypatch.setattr(sys, "stdout", stream)
        with open_screen() as screen:
            console = RunConsole(screen)
            console.step(step(40, is_logged=True))
            console.validated([Validation("epoch 1", {"mIoU": 50.0})], 0, "mIoU")


def test_what_is_counted_has_a_live_line_in_a_terminal_alone(terminal, file):
    shown = terminal()
    with open_screen(), counting("pictures") as count:
        count(1, 3)
        assert shown.lines[-1].lstrip("━─ ").startswith("pictures 1/3")
    assert shown.lines == [""]
    made = file()
    with open_screen(), counting("pictures") as count:
        count(1, 3)
    assert made.getvalue() == ""


def test_prints_of_libraries_are_hidden_and_a_users_are_shown(file):
    made = file()
    with open_screen():
        in_library("print('DONE (t=0.00s)')")
        print("by a user's hook")
        in_library("show('by a user, through a library')", show=print)
    assert made.getvalue() == "by a user's hook\n"


def test_warnings_of_libraries_are_hidden_but_for_those_to_act_on(file, capsys):
    made = file()
    with open_screen(), warnings.catch_warnings():
        warnings.simplefilter("always")
        for _ in range(3):
            in_library("warnings.warn('deprecated')", warnings=warnings)
            in_library(
                "warnings.warn('This DataLoader will create 64 worker processes in total')",
                warnings=warnings,
            )
            warnings.warn("by a user", stacklevel=1)
    said = capsys.readouterr().err
    assert "deprecated" not in said + made.getvalue()
    assert said.count("64 worker processes") == said.count("UserWarning: by a user") == 1


def test_what_is_hidden_is_in_the_log_once(file, tmp_path):
    made = file()
    path = tmp_path / "a.log"
    with open_screen(), warnings.catch_warnings():
        warnings.simplefilter("always")
        in_library("print('before there is a log')")
        logger = MMLogger.get_instance(f"hidden{os.getpid()}", log_file=str(path))
        logger.handlers = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
        for _ in range(2):
            in_library("warnings.warn('deprecated')", warnings=warnings)
    said = path.read_text()
    assert said.count("before there is a log") == said.count("UserWarning: deprecated") == 1
    assert made.getvalue() == ""


@pytest.mark.parametrize("verbose", [False, True])
def test_records_of_loggers(file, verbose):
    made = file()
    with open_screen(verbose=verbose):
        for _ in range(2):
            print_log("info", logger="mmengine")
            print_log(f"by a user {verbose}", logger="mmengine", level=logging.WARNING)
            in_library(
                f"log('alias {verbose}')", log=partial(print_log, logger="mmengine", level=30)
            )
            in_library("log('is empty')", log=partial(print_log, logger="mmengine", level=40))
    said = made.getvalue()
    if verbose:
        assert all(f" - {words}\n" in said for words in ("INFO - info", "WARNING - alias True"))
    else:
        assert said == "warning: by a user False\nwarning: is empty\n"


def test_other_ranks_show_errors_alone(file, monkeypatch, capsys):
    made = file()
    monkeypatch.setenv("RANK", "1")
    with open_screen() as screen, RunConsole(screen).shown() as console:
        console.note("a note")
        show_note("a note")
        warnings.warn("a warning", stacklevel=1)
        print_log("a warning", logger="mmengine", level=logging.WARNING)
        print_log("an error", logger="mmengine", level=logging.ERROR)
    assert made.getvalue() == "warning: an error\n"
    assert capsys.readouterr().err == ""


def test_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr, logging.lastResort, warnings.showwarning
    with pytest.raises(ValueError, match="ends"), open_screen():
        assert sys.stdout is not before[0]
        raise ValueError("ends")
    assert before == (sys.stdout, sys.stderr, logging.lastResort, warnings.showwarning)


def test_forked_processes_say_it_once_together():
    once = Once()
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=once.is_first, args=("text",))
    child.start()
    child.join()
    assert not once.is_first("text")
    assert once.is_first("another")


def test_a_forked_process_prints_beside_the_live_line(terminal):
    shown = terminal()
    with open_screen() as screen:
        screen.draw(lambda columns: Text("live"))
        screen._process = 0  # as in a loader's process
        print("from a worker")
        assert shown.lines[0] == "from a worker"
        screen._process = os.getpid()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (LIBRARY, True),
        (logging.__file__, True),
        ("/home/me/mmdetection/mmdet/models/a.py", True),
        ("/home/me/hooks.py", False),
        (elements.__file__, False),
        (__file__, False),
        ("<stdin>", False),
    ],
)
def test_what_is_a_library(file, expected):
    assert is_library(str(file)) is expected
