"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mmengine.fileio import LocalBackend, register_backend


@register_backend("atomic", force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local storage, with writes that replace a file in one step.

    ``CheckpointHook(backend_args=dict(backend="atomic"))`` writes its checkpoints through it. A
    full disk or an interruption leaves the earlier file of that name as it was.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, with its folder if that is missing.

        Raises:
            OSError: If the file could not be written; it names the file and the reason.
        """
        with _replacing(filepath, "wb") as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text to a file, with its folder if that is missing.

        Raises:
            OSError: If the file could not be written; it names the file and the reason.
        """
        with _replacing(filepath, "w", encoding=encoding) as file:
            file.write(obj)


@contextlib.contextmanager
def _replacing(filepath: str | Path, mode: str, **options: Any) -> Iterator[IO]:
    path = Path(filepath)
    # In the same folder, since only within one file system is a rename a single step.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(
            f"could not write {path}: {error.strerror or error}. Earlier checkpoints are whole; "
            "make room and go on with --resume"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
