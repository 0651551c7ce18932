"""Read a run from its work directory, even if files are missing or damaged."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mmengine.config import Config

from convnext_dense.config.plain_config import read_plain_config
from convnext_dense.csv_files import read_csv
from convnext_dense.evaluation.figures import METRICS_FILE, PER_CLASS_FILE, Figures
from convnext_dense.report import logs

# A run counts as stopped if it has written nothing for this long.
SILENT_SECONDS = 300
_CONSOLE = ("*.log", "*.out", "*.err", "*.txt")
# The keys of a record of validation that are not figures.
_NO_METRICS = ("step", "time", "data_time", "memory", "epoch", "iter")


@dataclass(frozen=True)
class State:
    """The state of a run.

    Attributes:
        name: ``finished``, ``running``, ``stopped``, ``failed``, ``evaluated`` if there was only a
            test, or ``not started``.
        detail: The evidence for it.
        error: The last lines of an error, if there is one.
    """

    name: str
    detail: str
    error: Sequence[str] = ()


@dataclass(frozen=True)
class TestFigures:
    """The figures in the files of a test.

    Attributes:
        figures: The figures.
        about: The other keys of ``metrics.json``.
    """

    figures: Figures
    about: dict


@dataclass
class Run:
    """One run. What is missing is None or empty.

    Attributes:
        folder: The work directory.
        name: Its name in the page.
        config: Its config; the modules that it imports are not imported.
        config_file: The file of the config.
        starts: When it was started and resumed.
        train: Records of training by step: ``step``, ``lr``, ``loss``, ``time`` in seconds, ...
        val: Records of validation by step; the step is the epoch if ``by_epoch``.
        by_epoch: Whether the run counts epochs.
        environment: The machine and the versions in mmengine's log.
        checkpoint: The best one, else the newest.
        tested: The figures of a test.
        state: Its state.
        problems: Sentences about files that could not be read.
    """

    folder: Path
    name: str
    config: Config | None = None
    config_file: Path | None = None
    starts: list[datetime] = field(default_factory=list)
    train: list[dict] = field(default_factory=list)
    val: list[dict] = field(default_factory=list)
    by_epoch: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None
    tested: TestFigures | None = None
    state: State = State("not started", "no record of a training step")
    problems: list[str] = field(default_factory=list)

    @property
    def recipe(self) -> str:
        """The name of the newest config file in the work directory, without suffix."""
        newest = max(self.folder.glob("*.py"), key=modified, default=None)
        return newest.stem if newest else ""

    @property
    def length(self) -> int | None:
        """Epochs or iterations that the config asks for."""
        wanted = (self.config or {}).get("train_cfg") or {}
        return wanted.get("max_epochs") or wanted.get("max_iters")

    def metrics(self) -> list[str]:
        """Name the figures of the validations."""
        named = (pair for record in self.val for pair in record.items())
        found = (name for name, value in named if logs.is_number(value) and name not in _NO_METRICS)
        return list(dict.fromkeys(found))


def read_run(folder: str | Path, name: str = "", now: float | None = None) -> Run:
    """Read a work directory.

    Args:
        folder: The work directory.
        name: The run's name in the page; by default the folder's.
        now: Seconds since 1970, to recognise a run that is still running; by default now.

    Raises:
        FileNotFoundError: If there is no such folder, or it has no run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no work directory {folder}")
    parts = sorted(path for path in folder.iterdir() if (path / "vis_data").is_dir())
    if not (parts or (folder / METRICS_FILE).is_file()):
        raise FileNotFoundError(
            f"{folder} has no run: `train` writes a folder named by the time, such as "
            f"20260131_120000, with vis_data/scalars.json, and `test` writes {METRICS_FILE}"
        )
    run = Run(folder, name or folder.resolve().name)
    trained = _read_records(run, parts)
    _read_config(run, [*parts, *trained])
    logs_of_run = [log for part in trained or parts for log in sorted(part.glob("*.log"))]
    if logs_of_run:
        run.environment = logs.parse_environment(logs.read_beginning(logs_of_run[-1]))
    run.checkpoint = find_checkpoint(folder)
    run.tested = _read_tested(run)
    if run.tested and not run.train:
        run.state = State("evaluated", "by a test; there is no record of a training")
    elif run.train or logs_of_run:
        run.state = _state(run, trained or parts, logs_of_run, now or time.time())
    return run


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Read several work directories, and name them by the ends of their paths that differ.

    Raises:
        FileNotFoundError: As :func:`read_run`.
        ValueError: If a folder is given twice.
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given more than once")
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    names = [str(Path(*path.parts[-length:])) for path in paths]
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def _read_records(run: Run, parts: list[Path]) -> list[Path]:
    """Read the records of all starts, and return the folders of those that trained."""
    starts: list[tuple[Path, list[dict]]] = []
    made_up: list[tuple[Path, list[dict]]] = []
    for part in parts:
        files = [part / "vis_data/scalars.json", *sorted((part / "vis_data").glob("*.json"))]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            continue
        found, broken = logs.read_records(file)
        if broken:
            lines = "1 broken line" if broken == 1 else f"{broken} broken lines"
            run.problems.append(f"{file.relative_to(run.folder)}: {lines} left out")
        if any(map(logs.is_training, found)):
            starts.append((part, found))
        elif found:  # a start that only ran the missing validation
            made_up.append((part, found))
    starts = logs.order_starts(starts)
    trained, records = [part for part, _ in starts], [found for _, found in starts]
    # A start from the beginning replaces all earlier ones.
    firsts = [next(filter(logs.is_training, found))["step"] for found in records]
    run.starts = [
        _time_of(part)
        for number, part in enumerate(trained)
        if all(later > firsts[number] for later in firsts[number + 1 :])
    ]
    first = min(run.starts, default=datetime.min)
    records += [found for part, found in made_up if _time_of(part) >= first]
    run.train, run.val = logs.join_records(records)
    run.by_epoch = any("epoch" in record for record in run.train)
    return trained


def _read_config(run: Run, parts: list[Path]) -> None:
    """Read the config of the last training, else of the last test, else in the folder."""
    files = [part / "vis_data/config.py" for part in reversed(parts)]
    files += sorted(run.folder.glob("*.py"), key=modified, reverse=True)
    run.config_file = next((file for file in files if file.is_file()), None)
    if run.config_file is None:
        run.problems.append("there is no config: neither */vis_data/config.py nor *.py")
        return
    try:
        run.config = read_plain_config(run.config_file)
    except (ValueError, OSError) as error:
        run.problems.append(f"the config could not be read without running it: {error}")


def modified(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; 0 if a running run removed it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def find_checkpoint(folder: Path) -> Path | None:
    """Find the best checkpoint of a work directory, else that of the last step, else None."""
    best = list(folder.glob("best_*.pth"))
    every = best or [*folder.glob("epoch_*.pth"), *folder.glob("iter_*.pth")]
    return max(every, key=lambda file: (_number(file), modified(file)), default=None)


def _read_tested(run: Run) -> TestFigures | None:
    file, table = run.folder / METRICS_FILE, run.folder / PER_CLASS_FILE
    if not file.is_file():
        return None
    try:
        about = json.loads(file.read_text())
        summary = {name: float(value) for name, value in about.pop("metrics").items()}
        rows = []
        if table.is_file():
            rows = [_numbers(row) for row in read_csv(table)]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        run.problems.append(f"{file} and {table.name} cannot be read: {error!r}")
        return None
    return TestFigures(Figures(summary, rows), about)


def _numbers(row: dict[str, str]) -> dict[str, str | float]:
    return {
        name: value if name == "class" else float(value or "nan") for name, value in row.items()
    }


def _state(run: Run, parts: list[Path], logs_of_run: list[Path], now: float) -> State:
    written = [file for part in parts for file in (part, *part.glob("*.log"), *part.glob("*/*"))]
    last = max(map(modified, written))
    when = datetime.fromtimestamp(last).strftime("%Y-%m-%d %H:%M")
    unit = "epochs" if run.by_epoch else "iterations"
    if run.length and _reached(run, logs_of_run) >= run.length:
        return State("finished", f"all {run.length} {unit}, {when}")
    silent = now - last
    error = _last_error(run.folder, logs_of_run, last)
    if error:
        return State("failed", f"last record {when}", error)
    # Files from the future show nothing: the clock was set back.
    if abs(silent) < SILENT_SECONDS:
        return State("running", f"wrote {max(0, round(silent))} s before this page was made")
    return State("stopped", f"before its {run.length or '?'} {unit}; nothing since {when}")


def _reached(run: Run, logs_of_run: list[Path]) -> int:
    """Return the last epoch or iteration that is certainly done."""
    done = [logs.last_saved(logs.read_end(log)) for log in logs_of_run[-1:]]
    if run.by_epoch:
        # A checkpoint of an earlier training in this folder may have a later epoch.
        begun = run.train[-1].get("epoch", 0) if run.train else 0
        kept = [_number(file) for file in run.folder.glob("epoch_*.pth")]
        done += [number for number in kept if number <= begun]
    else:
        done += [record["step"] for record in run.train[-1:]]
    return max(done, default=0)


def _last_error(folder: Path, logs_of_run: list[Path], last: float) -> list[str]:
    """Find the error of the last start, in its log or in a file of its console output."""
    consoles = [file for pattern in _CONSOLE for file in sorted(folder.glob(pattern))]
    # An error is written at the end of a run, or shortly after.
    recent = [file for file in consoles if modified(file) >= last - 1]
    for file in [*recent, *logs_of_run[-1:]]:
        if error := logs.error_lines(logs.read_end(file)):
            return error
    return []


def _number(checkpoint: Path) -> int:
    number = checkpoint.stem.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def _time_of(part: Path) -> datetime:
    try:
        return datetime.strptime(part.name[:15], "%Y%m%d_%H%M%S")
    except ValueError:  # a folder of another name
        return datetime.fromtimestamp(part.stat().st_mtime)
