"""Checkpoints that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from convnext_dense.files import write_whole

WAY_ON = "earlier checkpoints are whole, so make room and go on with --resume"


@register_backend("atomic", force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local storage, with writes that replace a file in one step.

    ``CheckpointHook(backend_args=dict(backend="atomic"))`` writes its checkpoints through it. A
    full disk or an interruption leaves the earlier file of that name as it was.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, with its folder if that is missing.

        Raises:
            WriteError: If the file could not be written; it names the file and the reason.
        """
        write_whole(filepath, obj, WAY_ON)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text to a file, with its folder if that is missing.

        Raises:
            WriteError: If the file could not be written; it names the file and the reason.
        """
        self.put(obj.encode(encoding), filepath)
