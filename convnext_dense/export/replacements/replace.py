"""Replace functions of other packages in one thread, for a while."""

from __future__ import annotations

import builtins
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeAlias

# An object of a class of upstream's, which have no types here.
Upstream: TypeAlias = Any
# What a module has under the name of a function of Python.
_ABSENT = object()
# By the place of what is replaced, its module and its name there: the function, and whether it
# stands in for it in all threads.
_REPLACEMENTS: dict[tuple[str, str], tuple[Callable, bool]] = {}
# Packages whose modules may have imported a function by its name.
_PACKAGES = ("mmcv", "mmdet", "mmseg", "convnext_dense")

_lock = threading.Lock()
_this_thread = threading.local()
_blocks = 0
_undo: list[tuple[object, str, object]] = []


def replaces(*places: str, in_all_threads: bool = False) -> Callable[[Callable], Callable]:
    """Return a decorator of a function that stands in for upstream's ones while exporting.

    The function is called with the original first, then with the call's own arguments.

    Args:
        places: Where the originals are defined, such as ``mmcv.ops.nms:batched_nms`` or
            ``mmcv.ops.roi_align:RoIAlign.forward``. A method stands for all classes that inherit
            it, and for none that overrides it. The name of a function of Python, such as ``int``,
            stands for it in that module alone.
        in_all_threads: Whether other threads need the replacement too while one exports.
    """

    def register(function: Callable) -> Callable:
        for place in places:
            module, _, name = place.partition(":")
            _REPLACEMENTS[module, name] = function, in_all_threads
        return function

    return register


@contextlib.contextmanager
def exportable() -> Iterator[None]:
    """Make the models of this thread exportable inside the ``with`` block.

    They compute the same as before. Other threads keep upstream's functions; at the end of the last
    block, in whichever thread and also after an error, every function is back in its place.
    """
    global _blocks
    with _lock:
        if not _blocks:
            _put_in_place()
        _blocks += 1
    _this_thread.depth = getattr(_this_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _this_thread.depth -= 1
        with _lock:
            _blocks -= 1
            if not _blocks:
                _put_back()


def _put_in_place() -> None:
    try:
        for (module_name, name), (function, in_all_threads) in _REPLACEMENTS.items():
            module = sys.modules.get(module_name)
            if module is None:  # then no model uses it
                continue
            owner_name, _, attribute = name.rpartition(".")
            if owner_name:
                owner = getattr(module, owner_name)
                original = vars(owner)[attribute]
                _set(owner, attribute, _switch(original, function, in_all_threads))
                continue
            original = getattr(module, name, None) or getattr(builtins, name)
            replaced = _switch(original, function, in_all_threads)
            for place in {module_name: module, **_importers(name, original)}.values():
                _set(place, name, replaced)
    except BaseException:
        _put_back()
        raise


def _importers(name: str, original: object) -> dict[str, ModuleType]:
    """Return the modules that have imported a function under its name."""
    return {
        key: module
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] in _PACKAGES and vars(module).get(name) is original
    }


def _set(owner: Upstream, name: str, value: object) -> None:
    _undo.append((owner, name, vars(owner).get(name, _ABSENT)))
    setattr(owner, name, value)


def _put_back() -> None:
    while _undo:
        owner, name, value = _undo.pop()
        if value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)


def _switch(original: Upstream, replacement: Callable, in_all_threads: bool) -> Upstream:
    """Return a function that calls the replacement in a thread that is exporting, or in all."""
    called = original.__func__ if isinstance(original, staticmethod) else original

    @functools.wraps(called)
    def choose(*args: object, **kwargs: object) -> object:
        if in_all_threads or getattr(_this_thread, "depth", 0) > 0:
            return replacement(called, *args, **kwargs)
        return called(*args, **kwargs)

    return staticmethod(choose) if isinstance(original, staticmethod) else choose
