"""Write a run's other files whole or not at all, and end the run if one cannot be written.

mmengine overwrites an existing file in place, does not notice when OpenCV fails to write a picture,
and goes on without its log.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.logging import MMLogger
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env

from convnext_dense.files import append_line, replacing, write_error, write_whole
from convnext_dense.training.atomic_backend import WholeLocalBackend
from convnext_dense.upstream import whole_files

if TYPE_CHECKING:
    from typing_extensions import Buffer


def write_whole_files() -> None:
    """Make ``mmengine.dump`` and mmcv's ``imwrite`` write whole files in this process."""
    whole_files.install(WholeLocalBackend)


@VISBACKENDS.register_module()
class WholeLocalVisBackend(LocalVisBackend):
    """mmengine's ``LocalVisBackend``, but each file is written whole or not at all."""

    @force_init_env
    def add_config(self, config: Config, **kwargs: object) -> None:
        """Write the config of the run."""
        with replacing(self._config_save_file) as part:
            config.dump(part)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: object) -> None:
        """Write a picture (H, W, 3), RGB as uint8, as ``NAME_STEP.png``."""
        _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        write_whole(Path(self._img_save_dir, f"{name}_{step}.png"), png.tobytes())

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        append_line(file_path, dump(value_dict, file_format=file_format))


def end_with_log(logger: MMLogger) -> None:
    """Make a run end if its log cannot be written, instead of going on without a log.

    If only the terminal is gone, the run continues: the log has the same lines.

    Args:
        logger: Its handlers are changed in place.
    """
    for handler in logger.handlers:
        handler.handleError = partial(_end, handler)
        if isinstance(handler, logging.FileHandler):
            # mmengine writes to the stream itself, too.
            if handler.stream is not None:
                handler.stream.close()
            file = io.BufferedWriter(_LogFile(handler.baseFilename, "a"))
            handler.stream = io.TextIOWrapper(file, encoding="utf-8")


class _LogFile(io.FileIO):
    """A file whose errors name it."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise write_error(self.name, error) from error


def _end(handler: logging.Handler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        logging.Handler.handleError(handler, record)
        return
    handler.setLevel(logging.CRITICAL + 1)  # later records would fail as well
    if isinstance(handler, logging.FileHandler):
        with contextlib.suppress(OSError):
            handler.close()
        raise error
