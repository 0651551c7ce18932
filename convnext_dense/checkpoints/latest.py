"""The newest whole checkpoint of a run, in its own folder, where mmengine records a path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.upstream.safe_checkpoint import RefusedError

# What mmengine writes ends in the epoch or iteration; a published one has a hash behind it.
_NUMBERED = re.compile(r"(?!best_)(?![^/]*-[0-9a-f]{8}\.pth)((?:.*\D)?)(\d+)\.pth")

_LONGEST_NAME = 255  # of a file


@dataclass(frozen=True)
class LatestCheckpoint:
    """The checkpoint to go on from.

    Attributes:
        path: The newest whole one, or None where a folder holds none at all.
        passed_over: What was looked at before it, and why it was not taken, in sentences.
    """

    path: Path | None
    passed_over: tuple[str, ...] = ()


def find_latest(work_dir: str | Path, out_dir: str | Path | None = None) -> LatestCheckpoint:
    """Find the newest whole checkpoint of a run, in its own folder.

    That is the one that mmengine recorded in ``last_checkpoint``, or one that was written after it.
    Of the recorded path the name alone counts, since the folder may have been copied or moved.
    Where the record or its file is of no use, it is the whole one of the highest step.

    Args:
        work_dir: The run's folder, with ``last_checkpoint``.
        out_dir: Where its checkpoints lie, if not there: see :func:`checkpoint_folder`.

    Raises:
        RuntimeError: Where there are checkpoints, and none that a training can go on from.
        RefusedError: Where the newest names code.
    """
    folder = Path(out_dir or work_dir)
    numbered = {path: step for path in folder.glob("*.pth") if (step := _step(path)) is not None}
    passed_over: list[str] = []
    recorded = _recorded(Path(work_dir), folder, passed_over)
    if recorded is None and not numbered:
        best = sorted(path.name for path in folder.glob("best_*.pth"))
        if best:
            raise RuntimeError(
                f"{folder} holds {best[0]} and no checkpoint to go on from: a best one has no state"
                " of the optimizer. To begin a new run with its weights give another `work_dir` "
                f"and load_from={folder / best[0]}"
            )
        return LatestCheckpoint(None, tuple(passed_over))
    falling = sorted(numbered, key=lambda path: numbered[path], reverse=True)
    if recorded and recorded.is_file():
        # A run may be killed between writing a checkpoint and recording it.
        falling = [path for path in falling if _is_newer(path, recorded)] + [
            recorded,
            *(path for path in falling if path != recorded and not _is_newer(path, recorded)),
        ]
    for path in falling:
        try:
            require_resumable(path)
        except RefusedError:
            raise
        except (RuntimeError, OSError) as error:
            passed_over.append(str(error))
        else:
            return LatestCheckpoint(path, tuple(passed_over))
    raise RuntimeError(
        f"{folder} holds no checkpoint that training can go on from: {'; '.join(passed_over)}. To "
        "begin anew give another `work_dir`"
    )


def latest_checkpoint(work_dir: str | Path, out_dir: str | Path | None = None) -> str | None:
    """Return the path of the checkpoint that :func:`find_latest` finds, or None."""
    path = find_latest(work_dir, out_dir).path
    return None if path is None else str(path)


def checkpoint_folder(cfg: Config) -> Path:
    """Return the folder where the run of a config writes its checkpoints."""
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if not hook.get("out_dir"):
        return Path(cfg.work_dir)
    # As mmengine's CheckpointHook does.
    return Path(hook["out_dir"], Path(cfg.work_dir).name)


def _recorded(work_dir: Path, folder: Path, passed_over: list[str]) -> Path | None:
    """Return this folder's file of the name that is recorded; say where the record is of no use."""
    record = work_dir / "last_checkpoint"
    try:
        written = record.read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            passed_over.append(f"{record} could not be read: {error.strerror}")
        return None
    name = Path(os.fsdecode(written).strip()).name
    if not (name.isprintable() and name.endswith(".pth") and len(name) <= _LONGEST_NAME):
        passed_over.append(f"{record} names no checkpoint")
        return None
    if not (folder / name).is_file():
        passed_over.append(f"{record} names {name}, which is not in {folder}")
    return folder / name


def _step(path: Path) -> int | None:
    """Return the number at the end of a checkpoint's name; None for best and published ones."""
    match = _NUMBERED.fullmatch(path.name)
    return int(match[2]) if match else None


def _is_newer(path: Path, recorded: Path) -> bool:
    one, two = _NUMBERED.fullmatch(path.name), _NUMBERED.fullmatch(recorded.name)
    # Higher steps of an earlier training may stand beside it.
    return bool(
        one
        and two
        and one[1] == two[1]
        and int(one[2]) > int(two[2])
        and path.stat().st_mtime_ns >= recorded.stat().st_mtime_ns
    )
