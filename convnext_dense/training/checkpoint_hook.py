"""Hooks that write the new checkpoint before they delete an old one, and only their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from convnext_dense.files import write_whole
from convnext_dense.training.runner_facts import is_training

if TYPE_CHECKING:
    from mmengine.fileio import BaseStorageBackend

# The key of a checkpoint's `meta` with the names of the files that it replaces.
OUTDATED = "outdated_checkpoints"


class DurableCheckpointHook(CheckpointHook):
    """Save as mmengine's hook does, but keep a whole last and a whole best checkpoint at any time.

    mmengine 0.10.7 deletes the old file before it writes the new one. This hook writes the new file
    first, then its name into ``last_checkpoint``, and only then deletes the old one. A checkpoint
    lists the files that it replaces, so that a run resumed from it deletes those that a killed run
    could not delete.

    The checkpoint of a step is written again after the validation of that step, when all hooks have
    got the figures. mmengine does this only for a new best one, before the last hooks have got
    them. A checkpoint is written before the first best one, since a best one cannot be resumed.

    Takes the arguments of mmengine's hook.
    """

    # Attributes of mmengine's hook.
    file_backend: Any
    last_ckpt: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._saved_step = 0  # the step of the last checkpoint that was written or resumed
        self._is_validating = False
        self._is_stale = False
        self._left_over: list[str] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read which files a killed run could not delete, and drop file names that are not ours."""
        if not runner._resume:
            return
        self._left_over = list(checkpoint.get("meta", {}).get(OUTDATED, ()))
        # mmengine builds the names of files to delete from these.
        info = checkpoint.get("message_hub", {}).get("runtime_info", {})
        if "keep_ckpt_ids" in info:
            info["keep_ckpt_ids"] = [step for step in info["keep_ckpt_ids"] if type(step) is int]

    def before_train(self, runner: Runner) -> None:
        """Find the folder and its checkpoints; delete what a killed run could not."""
        super().before_train(runner)
        self.file_backend = _RemovingLater(self.file_backend)
        if not (runner._resume and runner._has_loaded):
            return
        self._saved_step = self._step(runner)
        self.last_ckpt = self._path(self.filename_tmpl.format(self._saved_step))
        if is_main_process() and self._is_own(runner._load_from):
            for name in filter(self._is_name, self._left_over):
                self.file_backend.remove(self._path(name))
            self._remove_outdated()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record the files that the checkpoint replaces."""
        checkpoint["meta"][OUTDATED] = [Path(path).name for path in self.file_backend.outdated]

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save a new best."""
        if self.save_best and self.interval > 0 and self.last_ckpt is None:
            self._save_current(runner)
        self._is_validating = True
        try:
            super().after_val_epoch(runner, metrics)
        finally:
            self._is_validating = False

    def after_val(self, runner: Runner) -> None:
        """Write the checkpoint of this step again, with the changes by the validation.

        A step that a validation makes the last one gets a checkpoint too.
        """
        has_stopped = is_training(runner) and getattr(runner.train_loop, "stop_training", False)
        is_last = self.save_last and self.interval > 0 and has_stopped
        if self._is_stale or is_last or self._saved_step == self._step(runner) > 0:
            self._is_stale = False
            self._save_current(runner)
        elif is_main_process() and self.save_best:
            self._remove_outdated()

    def after_train(self, runner: Runner) -> None:
        """Publish the last and the best checkpoint, if ``published_keys`` asks for it."""
        # A resumed run with nothing left to do may have started from a file of another name.
        if self.last_ckpt is not None and not self.file_backend.isfile(self.last_ckpt):
            self.last_ckpt = None
        super().after_train(runner)

    def _save_current(self, runner: Runner) -> None:
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_checkpoint_with_step(runner, self._step(runner), meta)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self._is_validating:
            self._is_stale = True  # saved after the validation
            return
        hub = runner.message_hub
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            while len(self.keep_ckpt_ids) >= self.max_keep_ckpts:
                old = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                if is_main_process():
                    self.file_backend.remove(self._path(old))
            self.keep_ckpt_ids.append(step)
            hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(name)
        hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._saved_step = step
        if is_main_process():
            write_whole(Path(runner.work_dir, "last_checkpoint"), self.last_ckpt)
            self._remove_outdated()

    def _remove_outdated(self) -> None:
        best = [getattr(self, "best_ckpt_path", None)]
        best += getattr(self, "best_ckpt_path_dict", {}).values()
        self.file_backend.remove_outdated(kept={self.last_ckpt, *best})

    def _step(self, runner: Runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _is_name(self, name: object) -> bool:
        """Whether a name from a checkpoint could be a file of this hook."""
        ending = self.filename_tmpl.rpartition("}")[2]
        return isinstance(name, str) and Path(name).name == name and name.endswith(ending)

    def _is_own(self, resumed: str | None) -> bool:
        """Whether the resumed checkpoint is in the folder where this run writes its own."""
        return resumed is None or Path(resumed).parent.resolve() == Path(self.out_dir).resolve()


class OwnBestHook(Hook):
    """Look for the best checkpoint of a resumed run in the run's own folder.

    mmengine 0.10.7 takes the path from the checkpoint, and deletes that file once there is a better
    one, even if the checkpoint is another run's or the folder was copied. This hook replaces only
    the path; the score to beat stays. It can go when CheckpointHook.before_train checks whose file
    it is.
    """

    # After the hook that reads the path.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Replace the recorded path by the file of that name in this run's folder, or by None."""
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and hook.save_best is not None:
                if len(hook.key_indicators) == 1:
                    hook.best_ckpt_path = _own(hook, hook.best_ckpt_path)
                else:
                    paths = hook.best_ckpt_path_dict
                    hook.best_ckpt_path_dict = {key: _own(hook, paths[key]) for key in paths}


def _own(hook: CheckpointHook, path: str | None) -> str | None:
    if path is None:
        return None
    own = hook.file_backend.join_path(hook.out_dir, Path(path).name)
    return own if hook.file_backend.isfile(own) else None


class _RemovingLater:
    """A storage backend that only lists what is to be removed, until ``remove_outdated``."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self._backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Callable:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    rmtree = remove  # for the folders that DeepSpeed writes

    def remove_outdated(self, kept: set[str | None]) -> None:
        for path in self.outdated:
            if path in kept:
                continue
            if self._backend.isfile(path):
                self._backend.remove(path)
            elif self._backend.isdir(path):
                self._backend.rmtree(path)
        self.outdated.clear()
