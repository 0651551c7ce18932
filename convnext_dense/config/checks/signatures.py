"""Find the arguments of the class that a config's ``type`` names."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mmengine import registry
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from torch import nn

from convnext_dense.registry import class_of

# The registries that build dicts of a config.
_REGISTRIES = (
    registry.MODELS,
    registry.DATASETS,
    registry.TRANSFORMS,
    registry.HOOKS,
    registry.OPTIMIZERS,
    registry.OPTIM_WRAPPERS,
    registry.OPTIM_WRAPPER_CONSTRUCTORS,
    registry.PARAM_SCHEDULERS,
    registry.LOOPS,
    registry.METRICS,
    registry.EVALUATOR,
    registry.TASK_UTILS,
    registry.DATA_SAMPLERS,
    registry.VISUALIZERS,
    registry.VISBACKENDS,
    registry.WEIGHT_INITIALIZERS,
    registry.MODEL_WRAPPERS,
    registry.LOG_PROCESSORS,
)

# Keys that builders remove from a dict before they pass the rest to the class.
_TAKEN_BEFORE = {
    Hook: ("priority",),
    OptimWrapper: ("constructor", "paramwise_cfg"),
    _ParamScheduler: ("convert_to_iter_based",),
}
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a class or function that can be passed by name.

    Attributes:
        names: The arguments in its signature.
        is_open: Whether it accepts other arguments too.
    """

    names: frozenset[str]
    is_open: bool = False


def arguments_of_type(kind: object, scope: str | None) -> Arguments | None:
    """Return the arguments of the class or function that a config's ``type`` names.

    Args:
        kind: The ``type``: a name, with or without scope, or the class itself.
        scope: The config's default scope.

    Returns:
        The arguments, or None if the name is not known.
    """
    found = [kind] if callable(kind) else list(_registered(kind, scope))
    if not found:
        return None
    each = [arguments_of(one) for one in found]
    return Arguments(frozenset().union(*(one.names for one in each)), any(a.is_open for a in each))


def _registered(name: object, scope: str | None) -> Iterator[Callable]:
    """Yield all classes that the registries have under a name, usually one."""
    if not isinstance(name, str):
        return
    with registry.DefaultScope.overwrite_default_scope(scope):
        for one in _REGISTRIES:
            # If a package cannot be imported, building something from it raises the error.
            with contextlib.suppress(Exception), one.switch_scope_and_registry(None) as scoped:
                found = scoped.get(name)
                if found is not None:
                    yield class_of(found)


def registered_names(scope: str | None) -> list[str]:
    """Return the names of all classes of a scope and of its parent scopes."""
    names: dict[str, None] = {}
    with registry.DefaultScope.overwrite_default_scope(scope):
        for one in _REGISTRIES:
            with contextlib.suppress(Exception), one.switch_scope_and_registry(None) as scoped:
                while scoped is not None:
                    names |= dict.fromkeys(scoped.module_dict)
                    scoped = scoped.parent
    return list(names)


def arguments_of(kind: Callable) -> Arguments:
    """Return the arguments of a class or function.

    If an ``__init__`` has ``**kwargs``, the arguments of the next base class are included.

    Example:
        >>> class Base:
        ...     def __init__(self, a): ...
        >>> class Sub(Base):
        ...     def __init__(self, b, **kwargs): ...
        >>> sorted(arguments_of(Sub).names), arguments_of(Sub).is_open
        (['a', 'b'], False)
    """
    if not inspect.isclass(kind):
        return Arguments(*_named(kind))
    names = {key for base, keys in _TAKEN_BEFORE.items() if issubclass(kind, base) for key in keys}
    for cls in kind.__mro__:
        if cls in (object, nn.Module):  # the last __init__ uses its **kwargs itself
            return Arguments(frozenset(names), is_open=names != set())
        if "__init__" in vars(cls):
            named, is_open = _named(vars(cls)["__init__"])
            names |= named - {"self"}
            if not is_open:
                break
    return Arguments(frozenset(names))


def _named(function: Callable) -> tuple[frozenset[str], bool]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return frozenset(), True
    names = frozenset(p.name for p in parameters if p.kind in _NAMED)
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
