"""Train steps from ResNet to ConvNeXt on a config's data, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection

from convnext_dense.backbone.roadmap import check_regime, find_step, network_name
from convnext_dense.config.options import AUTO, RunOptions
from convnext_dense.config.read_config import read_config
from convnext_dense.roadmap.results import (
    find_metric,
    folder_of,
    is_finished,
    keep_result,
    keep_settings,
)
from convnext_dense.text import one_line
from convnext_dense.training.interrupt import sigterm_as_interrupt
from convnext_dense.training.processes import end_with_launcher
from convnext_dense.training.run import train

# Options that are set for each training, or that change nothing of what it reaches.
OWN = ("config", "backbone", "seed", "resume", "work_dir", "tensorboard", "log", "workers")
# Exit status of a training that was interrupted.
INTERRUPTED = 130
# Seconds for a training to end by itself after Ctrl-C, which its terminal sends to it too.
GRACE = 5


class TrainingTraceback(Exception):
    """The traceback of an error in the process of a training, as the cause of the error here."""


def train_steps(
    options: RunOptions,
    steps: Sequence[str],
    seeds: int,
    regime: str = "tiny",
    metric: str | None = None,
    tell: Callable[[str], object] = print,
    train_one: Callable[[RunOptions], None] = train,
) -> None:
    """Train each step with each seed: all steps with the first seed, then with the second.

    Each training is a process and a folder of its own, ``work_dir/STEP/seed_N``. Called again with
    the same options, this repeats no training that has ended, and resumes a killed one; more steps
    and seeds may be added. All networks start from random weights, since none are published between
    the two ends.

    Args:
        options: What is trained, with its work directory, and without ``backbone``, ``seed``,
            ``weights`` and ``resume``, which are set here.
        steps: Names of steps.
        seeds: How many seeds, from 0.
        regime: ``tiny`` or ``base``.
        metric: The figure that will be compared; asked for after each training, so that a wrong one
            ends the first and not the last.
        tell: Called with messages for the user.
        train_one: Trains, in the process of a training, so that it must be a function of a module.

    Raises:
        KeyboardInterrupt: On Ctrl-C and SIGTERM, which end the training too.
        RuntimeError: If a training fails; the message names it.
        ValueError: If a step, a regime or a number makes no sense, the config has no validation or
            it has no such figure, or the folder holds trainings with other options.
    """
    check_regime(regime)
    chosen = list(dict.fromkeys(find_step(step).name for step in steps))
    if not chosen:
        raise ValueError("`steps` names no step")
    if seeds < 1:
        raise ValueError(f"`seeds={seeds}` is at least 1")
    if options.work_dir is None:
        raise ValueError("`work_dir` is the folder of the trainings, and must be given")
    cfg = read_config(options.config)
    for part in ("val_dataloader", "val_evaluator"):
        if not cfg.get(part):
            raise ValueError(
                f"{options.config} has no {part}: nothing would tell which step is better"
            )
    keep_settings(options.work_dir, _settings(options, regime))
    trainings = [(step, seed) for seed, step in product(range(seeds), chosen)]
    for number, (step, seed) in enumerate(trainings, start=1):
        title = f"[{number}/{len(trainings)}] {network_name(step, regime)}, seed {seed}"
        if is_finished(options.work_dir, step, seed):
            tell(f"{title}: has ended before")
            continue
        tell(title)
        own = replace(
            options,
            backbone=network_name(step, regime),
            seed=seed,
            resume=AUTO,
            work_dir=str(folder_of(options.work_dir, step, seed)),
        )
        _train_apart(train_one, own, title)
        figures = keep_result(options.work_dir, step, seed)
        find_metric(list(figures), metric)


def _settings(options: RunOptions, regime: str) -> dict[str, object]:
    """Return what all trainings of a folder have in common, without what has its default."""
    plain = RunOptions(options.config)
    names = [field.name for field in fields(options) if field.name not in OWN]
    given = {name: getattr(options, name) for name in names}
    asked = {name: value for name, value in given.items() if value != getattr(plain, name)}
    return dict(config=str(options.config), regime=regime, **asked)


def _train_apart(train_one: Callable[[RunOptions], None], options: RunOptions, title: str) -> None:
    """Train in a process of its own, since mmengine keeps the state of one run in a process."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(train_one, options, theirs), name=title)
    try:
        with sigterm_as_interrupt():
            process.start()
            theirs.close()
            process.join()
    except KeyboardInterrupt:
        try:
            process.join(GRACE)
        finally:  # also where Ctrl-C comes again
            process.terminate()
            process.join()
        raise KeyboardInterrupt(_go_on(title)) from None
    if process.exitcode == INTERRUPTED:
        raise KeyboardInterrupt(_go_on(title))
    if process.exitcode:
        try:
            message, trace = ours.recv()
        except EOFError:  # killed
            message, trace = f"its process has ended with status {process.exitcode}", ""
        raise RuntimeError(f"{title}: {message}") from TrainingTraceback(trace)


def _go_on(title: str) -> str:
    return f"interrupted in {title}; the same command resumes it from its last checkpoint"


def _train(
    train_one: Callable[[RunOptions], None], options: RunOptions, parent: Connection
) -> None:
    end_with_launcher()
    try:
        train_one(options)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        parent.send((one_line(error), traceback.format_exc()))
        raise SystemExit(1) from None
