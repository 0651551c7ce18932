"""A run that is killed at any moment continues to the outcome of one that was never stopped."""

from __future__ import annotations

import hashlib
import io
import os
import re
from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmengine.runner import Runner

from convnext_dense.report import logs
from convnext_dense.training import latest_checkpoint
from convnext_dense.upstream.safe_checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

GUARDS = ("ReproducibleStreamHook", "OwnBestHook", "DueValidationHook")
KILLED = 9
NUMBERS = count()


class Countdown(Hook):
    """Ends the process without a word at the nth deed: a hook's call, or a change of a file."""

    priority = "HIGHEST"

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.calls = 0

    def heed(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls == self.left:
            os._exit(KILLED)

    before_train_iter = after_train_iter = before_val = before_val_iter = heed
    after_val_epoch = after_val = after_train = before_save_checkpoint = heed

    def watch_files(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (os, "remove")):
            real = getattr(owner, name)

            def watched(*args, real=real, **kwargs):
                self.heed()
                result = real(*args, **kwargs)
                self.heed()
                return result

            patch.setattr(owner, name, watched)


def run_in_child(train) -> int:
    """Run in a process that may end at once; give its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Runs:
    """Starts runs of one kind in processes of their own."""

    def __init__(self, make_runner, folder: Path, options: dict) -> None:
        self.make_runner, self.folder, self.options = make_runner, folder, options

    def start(self, name: str, nth: int) -> int:
        """Start or resume a run that ends at its nth deed; give its exit status."""
        return run_in_child(lambda: self.train(name, nth))

    def train(self, name: str, nth: int = 0) -> int:
        """Start or resume a run in this process; give the number of its deeds."""
        runner = self._make(name)
        countdown = Countdown(nth)
        runner.register_hook(countdown)
        with pytest.MonkeyPatch.context() as patch:
            countdown.watch_files(patch)
            runner.train()
        return countdown.calls

    def _make(self, name: str) -> Runner:
        last = latest_checkpoint(self.folder / name)
        hooks = [dict(type=guard) for guard in GUARDS] + self.options.get("hooks", [])
        kind = dict(type="DurableCheckpointHook") | self.options.get("checkpoint", {})
        options = dict(self.options, hooks=hooks, checkpoint=kind, metric="UnsteadyMetric")
        options["backend_args"] = dict(backend="atomic")
        return self.make_runner(name, resume=last is not None, load_from=last, **options)


def outcome(folder: Path) -> dict[str, object]:
    """Return what a run leaves, its checkpoints and its validations, by short names."""
    found = {}
    for path in folder.glob("*.pth"):
        checkpoint = read_checkpoint(path)
        info = checkpoint["message_hub"]["runtime_info"]
        for key in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers"):
            found[f"{path.name} {key}"] = digest(checkpoint.get(key))
        for key in ("epoch", "iter", "seed", "early_stopping"):
            found[f"{path.name} {key}"] = checkpoint["meta"].get(key)
        for key in filter(re.compile("best|validated").search, info):
            found[f"{path.name} {key}"] = Path(info[key]).name if "ckpt" in key else info[key]
    parts = [logs.read_records(file)[0] for file in sorted(folder.glob("*/vis_data/scalars.json"))]
    for record in logs.join_records(parts)[1]:
        for key in record.keys() - {"time", "data_time"}:
            found[f"validation {record['step']} {key}"] = record[key]
    found["last_checkpoint"] = Path((folder / "last_checkpoint").read_text()).name
    return found


def digest(content: object) -> str:
    file = io.BytesIO()
    torch.save(content, file)
    return hashlib.sha256(file.getvalue()).hexdigest()[:8]


EMA = dict(type="EMAHook", momentum=0.1)
STOP_WITHOUT_BEST = dict(type="StopWithoutBestHook", patience=2)
STOP_EARLY = dict(type="EarlyStoppingHook", monitor="toy/score", rule="greater", patience=2)
PLATEAU = dict(type="ReduceOnPlateauLR", monitor="toy/other", rule="less", by_epoch=True)
KINDS = {
    "epochs": dict(checkpoint=dict(max_keep_ckpts=1)),
    "iterations": dict(by_epoch=False, checkpoint=dict(max_keep_ckpts=1)),
    "two best, averaged": dict(
        by_epoch=False,
        interval=2,
        hooks=[EMA, STOP_WITHOUT_BEST],
        checkpoint=dict(max_keep_ckpts=2, save_best=["toy/score", "toy/other"]),
    ),
    "early stopping": dict(hooks=[STOP_EARLY], checkpoint=dict(max_keep_ckpts=-1)),
    "plateau": dict(scheduler=PLATEAU, checkpoint=dict(save_best="auto")),
}


@pytest.fixture(scope="module", params=KINDS)
def runs(request, tmp_path_factory):
    """Runs of one kind, and the outcome of one that was never stopped."""
    folder = tmp_path_factory.mktemp("runs")
    make_runner = request.getfixturevalue("make_runner_in")(folder)
    runs = Runs(make_runner, folder, KINDS[request.param])
    deeds = runs.train("straight")
    return runs, deeds, outcome(folder / "straight")


@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate])
@given(data=st.data())
def test_a_run_that_is_killed_goes_on_to_the_same_outcome(runs, data):
    runs, deeds, straight = runs
    name = f"killed{next(NUMBERS)}"
    # Twice, since the run that continues may be killed as well.
    for _ in range(2):
        assert runs.start(name, data.draw(st.integers(1, deeds))) in (0, KILLED)
    runs.train(name)
    found = outcome(runs.folder / name)
    differing = {
        key: (found.get(key), straight.get(key))
        for key in found.keys() | straight.keys()
        if found.get(key) != straight.get(key)
    }
    assert not differing
