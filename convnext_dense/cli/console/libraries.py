"""Sort out what other libraries say: what a user can act on is shown, the rest goes to the log.

Code of a user, such as a hook of their own, is no library: what it prints is shown.
"""

from __future__ import annotations

import logging
import mmap
import re
import sys
import sysconfig
import zlib
from collections import deque
from functools import lru_cache
from pathlib import Path
from types import FrameType

from mmengine.logging import MMLogger

import convnext_dense

# What a user can act on, although a library says it.
ACTIONABLE = re.compile(
    "|".join(
        (
            r"DataLoader will create .* worker processes",  # take fewer
            r"does not have a deterministic implementation",  # --deterministic is not fully so
            r"CUDA initialization|NVIDIA driver|CUDA capability",  # another torch or driver
            r"EXIF|[Tt]runcated|image file|Image size",  # of the user's pictures
            r"HF_TOKEN|unauthenticated",  # downloads are slower or refused
            r"No space left|Permission denied",
        )
    )
)
_OPENMMLAB = {"mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain"}
# Modules that only pass on what their caller says.
_PASSING = re.compile(
    r"(argparse|pprint|logging|warnings|contextlib|rich|convnext_dense\.cli\.console"
    r"|mmengine\.logging|convnext_dense\.training\.observer)(\.|$)"
)
_OURS = str(Path(convnext_dense.__file__).parent)
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def speaks_for_library() -> bool:
    """Whether a library called this function, through whatever passes on what it says."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not _PASSING.match(module):
            return module.partition(".")[0] in _OPENMMLAB or is_library(frame.f_code.co_filename)
        frame = frame.f_back
    return False


@lru_cache(maxsize=1024)
def is_library(file: str) -> bool:
    """Whether a file of code is neither this package's nor the user's."""
    if file.startswith(_OURS):
        return False
    parts = Path(file).parts
    return (
        file.startswith((*_INSTALLED, "<frozen"))
        or not {"site-packages", "dist-packages"}.isdisjoint(parts)
        or not _OPENMMLAB.isdisjoint(parts)
    )


class Once:
    """Whether something is said for the first time, also among forked processes of a loader."""

    _BITS = 1 << 16

    def __init__(self) -> None:
        self._said = mmap.mmap(-1, self._BITS // 8)  # shared with processes that are forked later

    def is_first(self, text: str) -> bool:
        """Whether this text was not given before."""
        byte, bit = divmod(zlib.crc32(text.encode(errors="replace")) % self._BITS, 8)
        is_first = not self._said[byte] & 1 << bit
        self._said[byte] |= 1 << bit
        return is_first


class QuietLog:
    """Writes what is not shown into the log file of a run, as soon as there is one."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, str]] = deque(maxlen=1000)
        # Perhaps of another run in this process; where there is none, to ask for it would make it,
        # which imports torch.
        self._earlier = MMLogger.get_current_instance() if MMLogger._instance_dict else None

    def write(self, text: str, level: int = logging.INFO) -> None:
        """Write a line, now or when the file is open."""
        self._waiting.append((level, text))
        logger = MMLogger.get_current_instance()
        if logger is self._earlier:
            return
        files = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
        while files and self._waiting:
            number, line = self._waiting.popleft()
            record = logger.makeRecord(logger.name, number, "", 0, line, (), None)
            for file in files:
                if number >= file.level:
                    file.handle(record)
