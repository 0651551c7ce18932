"""Choose the checkpoint that a training is resumed from."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from convnext_dense.checkpoints.latest import checkpoint_folder, find_latest, latest_checkpoint
from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.config.options import AUTO
from convnext_dense.config.state import Plan
from convnext_dense.ranks import decided_by_rank_0


def choose_checkpoint(plan: Plan) -> Plan:
    """Choose the checkpoint that a run is resumed from, for all its processes.

    Without the option ``resume``, the config's ``resume`` and ``load_from`` decide.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If training cannot be resumed from it, or from any checkpoint in the folder.
    """
    cfg, resume = plan.config, plan.options.resume
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or AUTO
    checkpoint, notes = decided_by_rank_0(lambda: _choose(cfg, resume))
    if checkpoint is None and cfg.get("resume"):
        cfg = plan.copy_config()
        cfg.resume = False  # otherwise mmengine would resume from the path in last_checkpoint
    return plan.changed(cfg, *notes, checkpoint=checkpoint)


def _choose(cfg: Config, resume: str | None) -> tuple[str | None, list[str]]:
    folder = checkpoint_folder(cfg)
    if resume is None:
        left = _is_there(cfg.work_dir, folder)
        if left is None:
            return None, []
        return None, [
            f"{cfg.work_dir} holds {Path(left).name} of an earlier run; `resume` resumes it"
        ]
    notes = []
    if resume == AUTO:
        latest = find_latest(cfg.work_dir, folder)
        if latest.path is None:
            start = f"`resume`: no checkpoint in {cfg.work_dir} yet, starting from the beginning"
            return None, [start]
        if latest.passed_over:
            why = "; ".join(latest.passed_over)
            notes.append(f"`resume`: {why}. {latest.path} is the newest whole checkpoint")
        resume = str(latest.path)
    elif "://" not in resume:
        if not Path(resume).is_file():
            raise FileNotFoundError(f"`resume={resume!r}`: there is no such file")
        require_resumable(resume)
    return resume, [*notes, f"`resume`: resuming from {resume}"]


def _is_there(work_dir: str, folder: Path) -> str | None:
    try:
        return latest_checkpoint(work_dir, folder)
    except RuntimeError:  # damaged checkpoints matter only for a resume
        return None
