"""The arguments that the class takes which a config's ``type`` names."""

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

# Those that dicts of a config are built by.
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

# What the builders of these take out of the dict before the class sees the rest.
_TAKEN_BEFORE = {
    Hook: ("priority",),
    OptimWrapper: ("constructor", "paramwise_cfg"),
    _ParamScheduler: ("convert_to_iter_based",),
}
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """What a class or function can be given by name.

    Attributes:
        names: The arguments that its signature names.
        is_open: Whether it takes others too, and does not say which.
    """

    names: frozenset[str]
    is_open: bool = False


def arguments_of_type(kind: object, scope: str | None) -> Arguments | None:
    """Return the arguments of what a config's ``type`` names.

    Args:
        kind: The ``type``: a name, with or without scope, or the class itself.
        scope: The config's default scope.

    Returns:
        The arguments, or None where nothing of that name is known.
    """
    found = [kind] if callable(kind) else list(_registered(kind, scope))
    if not found:
        return None
    each = [arguments_of(one) for one in found]
    return Arguments(frozenset().union(*(one.names for one in each)), any(a.is_open for a in each))


def _registered(name: object, scope: str | None) -> Iterator[Callable]:
    """Yield what the registries have under a name: mostly one class, for some names several."""
    if not isinstance(name, str):
        return
    with registry.DefaultScope.overwrite_default_scope(scope):
        for one in _REGISTRIES:
            # A package that cannot be imported is named when something of it is built.
            with contextlib.suppress(Exception), one.switch_scope_and_registry(None) as scoped:
                found = scoped.get(name)
                if found is not None:
                    yield class_of(found)


def registered_names(scope: str | None) -> list[str]:
    """Return the names of all classes that a scope, and those above it, have."""
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

    ``**kwargs`` of an ``__init__`` are those of the next base class, as they are passed on.

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
        if cls in (object, nn.Module):  # the class keeps for itself what it takes beside
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
