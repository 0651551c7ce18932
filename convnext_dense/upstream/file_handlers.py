"""Data files and configs are read without running code that they contain.

Fault: mmengine 0.10.7 loads YAML with ``yaml.Loader`` and pickles with ``pickle.load``, which both
call any function that the file names. It chooses them by the suffix of annotations, proposals and
configs.
Reach: the process while one of the tools runs or a config is read here. mmseg's ``datafrombytes``
and mmdet's OpenImagesChallengeDataset unpickle files by themselves; these are not covered.
Off-switch: its name; for pickles alone ``trust_pickles=True`` in a config.
End: when mmengine loads YAML with a safe loader and asks before it unpickles.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import IO, Any

import yaml
from mmengine.fileio.handlers import PickleHandler, YamlHandler, file_handlers

from convnext_dense.upstream._switches import is_off

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader

PICKLE_FORMATS = ("pkl", "pickle")
YAML_FORMATS = ("yaml", "yml")
# One entry per open block; the first has the handlers to restore when the last block ends.
_before: list[dict] = []
_lock = threading.Lock()


class PlainLoader(SafeLoader):
    """Load plain data, and tuples, since mmengine writes a config's tuples."""


PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
)


class PlainYamlHandler(YamlHandler):
    """mmengine's handler, but it loads only plain data."""

    def load_from_fileobj(self, file: IO, **kwargs: Any) -> object:
        """Load plain data.

        Raises:
            ValueError: If the text is not YAML, or names Python objects.
        """
        kwargs.setdefault("Loader", PlainLoader)
        try:
            return super().load_from_fileobj(file, **kwargs)
        except yaml.YAMLError as error:
            text = " ".join(str(error).split())
            raise ValueError(f"the file is not YAML of plain data: {text}") from error


class RefusingPickleHandler(PickleHandler):
    """mmengine's handler, but it only writes."""

    def load_from_fileobj(self, file: IO, **kwargs: Any) -> object:
        """Refuse to load.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "a data file is a pickle, which can run any code: convert it to JSON, or, where you "
            "trust its maker, set trust_pickles=True in the config"
        )


@contextlib.contextmanager
def plain_files() -> Iterator[None]:
    """Make mmengine load YAML as plain data, and no pickle unless :func:`trust_pickles` is called.

    This changes mmengine for the whole process, until the last block of all threads ends.
    """
    if is_off("file_handlers"):
        yield
        return
    with _lock:
        _before.append({} if _before else dict(file_handlers))
        if len(_before) == 1:
            file_handlers.update(dict.fromkeys(YAML_FORMATS, PlainYamlHandler()))
            file_handlers.update(dict.fromkeys(PICKLE_FORMATS, RefusingPickleHandler()))
    try:
        yield
    finally:
        with _lock:
            file_handlers.update(_before.pop())


def trust_pickles() -> None:
    """Let mmengine load pickles again, until the end of :func:`plain_files`."""
    file_handlers.update(dict.fromkeys(PICKLE_FORMATS, PickleHandler()))
