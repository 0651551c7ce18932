"""Checkpoints that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from convnext_dense.files import WHOLE, write_whole

REMEDY = "earlier checkpoints are whole, so make room and go on with `resume`"


class WholeLocalBackend(LocalBackend):
    """mmengine's local storage, with writes that replace a file in one step.

    A full disk or an interruption leaves the earlier file of that name as it was.
    """

    remedy = WHOLE

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, with its folder if that is missing.

        Raises:
            WriteError: If the file could not be written; the message names it and the reason.
        """
        write_whole(filepath, obj, self.remedy)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text to a file, with its folder if that is missing.

        Raises:
            WriteError: If the file could not be written; the message names it and the reason.
        """
        self.put(obj.encode(encoding), filepath)


@register_backend("atomic", force=True)
class AtomicLocalBackend(WholeLocalBackend):
    """The storage of checkpoints: ``CheckpointHook(backend_args=dict(backend="atomic"))``."""

    remedy = REMEDY
