"""Find the newest whole checkpoint of a run."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.upstream.safe_checkpoint import RefusedError

# mmengine ends the names with the epoch or iteration. Published files have a hash after it.
_NUMBERED = re.compile(r"(?!best_)(?![^/]*-[0-9a-f]{8}\.pth)((?:.*\D)?)(\d+)\.pth")

_LONGEST_NAME = 255  # bytes that file systems allow


@dataclass(frozen=True)
class LatestCheckpoint:
    """The checkpoint that a run can be resumed from.

    Attributes:
        path: The newest whole checkpoint, or None if there is no checkpoint.
        passed_over: Sentences: which newer records or files cannot be used, and why.
    """

    path: Path | None
    passed_over: tuple[str, ...] = ()


def find_latest(work_dir: str | Path, out_dir: str | Path | None = None) -> LatestCheckpoint:
    """Find the newest whole checkpoint of a run, in the run's own folder.

    This is the one that mmengine recorded in ``last_checkpoint``, or one written after it. Only the
    file name of the record is used, since the folder may have been copied or moved. If the record
    or its file cannot be used, it is the whole checkpoint with the highest step.

    Args:
        work_dir: Folder of the run, with ``last_checkpoint``.
        out_dir: Folder of its checkpoints, if it is another: see :func:`checkpoint_folder`.

    Raises:
        RuntimeError: If there are checkpoints, but training cannot be resumed from any of them.
        RefusedError: If the newest checkpoint contains code.
    """
    folder = Path(out_dir or work_dir)
    numbered = {path: step for path in folder.glob("*.pth") if (step := _step(path)) is not None}
    passed_over: list[str] = []
    recorded = _recorded(Path(work_dir), folder, passed_over)
    if recorded is None and not numbered:
        best = sorted(path.name for path in folder.glob("best_*.pth"))
        if best:
            raise RuntimeError(
                f"{folder} holds {best[0]}, but no checkpoint to resume from: a best one has no "
                "state of the optimizer. To begin a new run with its weights, give another "
                f"`work_dir` and load_from={folder / best[0]}"
            )
        return LatestCheckpoint(None, tuple(passed_over))
    newest_first = sorted(numbered, key=lambda path: numbered[path], reverse=True)
    if recorded and recorded.is_file():
        # A run may be killed between writing a checkpoint and recording it.
        newer = [path for path in newest_first if _is_newer(path, recorded)]
        older = [path for path in newest_first if path not in (recorded, *newer)]
        newest_first = [*newer, recorded, *older]
    for path in newest_first:
        try:
            require_resumable(path)
        except RefusedError:
            raise
        except (RuntimeError, OSError) as error:
            passed_over.append(str(error))
        else:
            return LatestCheckpoint(path, tuple(passed_over))
    raise RuntimeError(
        f"{folder} holds no checkpoint that training can be resumed from: "
        f"{'; '.join(passed_over)}. To begin a new run, give another `work_dir`"
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
    """Return the file in this folder that the record names, or None.

    If the record cannot be used, a sentence about it is added to ``passed_over``.
    """
    record = work_dir / "last_checkpoint"
    try:
        written = record.read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            passed_over.append(f"{record} could not be read: {error.strerror}")
        return None
    name = Path(os.fsdecode(written).strip()).name
    if not (name.isprintable() and name.endswith(".pth") and len(name) <= _LONGEST_NAME):
        passed_over.append(f"{record} does not name a checkpoint")
        return None
    if not (folder / name).is_file():
        passed_over.append(f"{record} names {name}, which is not in {folder}")
    return folder / name


def _step(path: Path) -> int | None:
    """Return the number at the end of a checkpoint's name, or None for best and published ones."""
    match = _NUMBERED.fullmatch(path.name)
    return int(match[2]) if match else None


def _is_newer(path: Path, recorded: Path) -> bool:
    one, two = _NUMBERED.fullmatch(path.name), _NUMBERED.fullmatch(recorded.name)
    # An earlier training may have left higher steps in the folder, so the time counts too.
    return bool(
        one
        and two
        and one[1] == two[1]
        and int(one[2]) > int(two[2])
        and path.stat().st_mtime_ns >= recorded.stat().st_mtime_ns
    )
