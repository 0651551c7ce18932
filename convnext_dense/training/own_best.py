"""The best checkpoint of a resumed run, in its own folder, where mmengine records a path."""

from __future__ import annotations

from pathlib import Path

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner


class OwnBestHook(Hook):
    """Look for the best checkpoint of a resumed run in the run's own folder.

    mmengine 0.10.7 takes the path from the checkpoint and deletes that file once there is a better
    one, also where the checkpoint is another run's or the folder was copied. The score to beat
    stays. It can go when CheckpointHook.before_train asks whose file it is.
    """

    # After the hook that reads the path.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Put this folder's file in the place of the recorded one, or none."""
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
