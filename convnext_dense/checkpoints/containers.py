"""What training loops put around parameters: containers of a checkpoint, wrappers in names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor, nn

# Under which keys checkpoints keep the parameters, and their moving averages: Meta, Lightning,
# OpenMMLab, DeepSpeed, timm, torchvision, distillation.
PLAIN_KEYS = ("model", "state_dict", "module", "student")
AVERAGED_KEYS = ("model_ema", "state_dict_ema", "ema", "ema_model", "teacher")
# mmengine's EMAHook swaps them: beside this key the averages are those under `state_dict`.
EMA_HOOK_KEY = "ema_state_dict"
# A container in a container in a container. A file can hold one that holds itself.
DEEPEST = 4

# Modules that hold one other module and compute what it does: data-parallel training,
# torch.compile, activation checkpointing, FSDP, Lightning.
_WRAPPER = r"(?:module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module|_forward_module)\."
LEADING_WRAPPERS = re.compile(rf"^(?:{_WRAPPER}|model\.)+")
_INSIDE = re.compile(rf"(?<=\.){_WRAPPER}")
# How often averages were taken, which torch and mmengine keep beside them.
_COUNTERS = ("n_averaged", "steps")


@dataclass(frozen=True)
class ParameterSet:
    """A set of parameters in a checkpoint.

    Attributes:
        state: Parameters by name, without wrappers inside of the names.
        key: Keys that lead to them in the checkpoint, with dots, or None.
        left: Keys of other sets, which were not taken.
    """

    state: Mapping[str, Tensor]
    key: str | None
    left: tuple[str, ...]


def find_parameters(
    checkpoint: object, source: str, prefix: str | None = None, ema: bool = False
) -> ParameterSet:
    """Find the parameters in a checkpoint of any training loop.

    Args:
        checkpoint: What a file holds: parameters, or containers of them.
        source: How messages call it.
        prefix: Take what lies under it: keys of containers, then what the names begin with.
        ema: Whether to take the moving averages where there are both.

    Raises:
        RuntimeError: Where there are none.
    """
    if not prefix:
        return _choose(checkpoint, source, ema)
    failure: RuntimeError | None = None
    for keys, node, rest in reversed(list(_descents(checkpoint, prefix.strip(".").split(".")))):
        try:
            found = _choose(node, source, ema and not keys)
            state = parameters_below(rest, found.state, source) if rest else found.state
        except RuntimeError as error:
            failure = error  # that of the whole checkpoint comes last
        else:
            key = ".".join([*keys, *([found.key] if found.key else [])])
            return ParameterSet(state, key or None, found.left)
    assert failure is not None  # the whole checkpoint is the last to be looked into
    raise failure


def parameters_below(prefix: str, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the parameters whose names begin with a prefix, without it.

    Raises:
        RuntimeError: Where there are none; the message shows what the names begin with.
    """
    prefix = without_wrappers(prefix.removesuffix(".") + ".")
    for stripped in (lambda name: name, lambda name: LEADING_WRAPPERS.sub("", name)):
        names = {name: stripped(name) for name in state}
        found = {
            names[name][len(prefix) :]: value
            for name, value in state.items()
            if names[name].startswith(prefix)
        }
        if found:
            return found
    first = dict.fromkeys(name.partition(".")[0] for name in state)
    raise RuntimeError(
        f"{source} has no name that begins with the prefix {prefix!r}: its names begin with "
        f"{', '.join(map(repr, list(first)[:8]))}"
    )


def without_wrappers(name: str) -> str:
    """Return the name of a parameter without wrappers, but for those that it begins with.

    Example:
        >>> without_wrappers("module.stages.0._orig_mod.0.module.gamma")
        'module.stages.0.0.gamma'
    """
    leading = LEADING_WRAPPERS.match(name)
    start = leading.end() if leading else 0
    inside = name[start:]
    while (stripped := _INSIDE.sub("", inside)) != inside:
        inside = stripped
    return name[:start] + inside


def meta_of(checkpoint: object) -> Mapping[str, Any]:
    """Return what the OpenMMLab stack notes beside parameters, such as the classes."""
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def trained_classes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes in a checkpoint's ``meta``; empty where it names none."""
    dataset = meta.get("dataset_meta")
    classes = dataset.get("classes") if isinstance(dataset, Mapping) else None
    # mmdet 2.x and mmseg 0.x, which Meta's files come from, wrote CLASSES.
    classes = classes or meta.get("CLASSES")
    return tuple(map(str, classes)) if isinstance(classes, (list, tuple)) else ()


def is_state(node: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether this is a state dict: tensors by name, and nothing else."""
    return (
        isinstance(node, Mapping)
        and bool(node)
        and all(isinstance(name, str) for name in node)
        and all(isinstance(value, Tensor) for value in node.values())
    )


def _choose(checkpoint: object, source: str, ema: bool) -> ParameterSet:
    sets = dict(_sets(checkpoint))
    swapped = isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(EMA_HOOK_KEY), Mapping)
    # Of a set that is the whole checkpoint it cannot be told.
    wanted = [keys for keys in sets if swapped or bool(set(AVERAGED_KEYS) & set(keys)) == ema]
    if ema and sets and not wanted:
        raise RuntimeError(
            f"{source} holds no averaged weights under {' or '.join(map(repr, AVERAGED_KEYS))}: "
            f"leave ema=True out"
        )
    if not sets:
        raise RuntimeError(
            f"{source} holds no parameters, neither bare nor under one of the keys "
            f"{', '.join(map(repr, (*PLAIN_KEYS, *AVERAGED_KEYS)))} (prefix= names another), but "
            f"{_held(checkpoint)}"
        )
    chosen = (wanted or list(sets))[0]
    left = [".".join(keys) for keys in sets if keys != chosen] + [EMA_HOOK_KEY] * swapped
    return ParameterSet(_unwrapped(sets[chosen]), ".".join(chosen) or None, tuple(left))


def _sets(node: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Yield each set of parameters below the known keys, with the keys that lead to it."""
    mapping = _mapping(node)
    if is_state(mapping):
        yield keys, mapping
    elif mapping is not None and len(keys) < DEEPEST:
        for key in (*PLAIN_KEYS, *AVERAGED_KEYS):
            yield from _sets(mapping.get(key), (*keys, key))


def _held(node: object, depth: int = 0) -> str:
    keys = _mapping(node)
    if keys is None:
        return type(node).__name__
    if len(keys) == 1 and set(keys) <= set(PLAIN_KEYS) and depth < DEEPEST:
        return _held(next(iter(keys.values())), depth + 1)
    return ", ".join(repr(key)[:80] for key in list(keys)[:8]) or "nothing"


def _descents(node: object, parts: list[str]) -> Iterator[tuple[list[str], object, str]]:
    """Yield what lies below ever more keys, with those keys and the rest of the prefix."""
    for depth in range(len(parts) + 1):
        yield parts[:depth], node, ".".join(parts[depth:])
        node = _mapping(node)
        if node is None or is_state(node) or depth == len(parts) or parts[depth] not in node:
            return
        node = node[parts[depth]]


def _mapping(node: object) -> Mapping | None:
    node = node.state_dict() if isinstance(node, nn.Module) else node
    return node if isinstance(node, Mapping) else None


def _unwrapped(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    names = {
        name: without_wrappers(name)
        for name, value in state.items()
        if not (LEADING_WRAPPERS.sub("", name) in _COUNTERS and value.numel() == 1)
    }
    # Of two that would be called alike either may be meant.
    if len(set(names.values())) < len(names):
        return state
    return {stripped: state[name] for name, stripped in names.items()}
