"""Find the parameters in a checkpoint, inside the containers and wrappers of training loops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor, nn

# Keys under which checkpoints keep the parameters and their moving averages: those of Meta,
# Lightning, OpenMMLab, DeepSpeed, timm, torchvision and of distillation.
PLAIN_KEYS = ("model", "state_dict", "module", "student")
AVERAGED_KEYS = ("model_ema", "state_dict_ema", "ema", "ema_model", "teacher")
# mmengine's EMAHook exchanges the two: in a file with this key, `state_dict` holds the averages.
EMA_HOOK_KEY = "ema_state_dict"
# How deep containers may be nested. A file can hold a container that contains itself.
DEEPEST = 4

# Modules that hold one other module and compute what it does: data-parallel training,
# torch.compile, activation checkpointing, FSDP, Lightning.
_WRAPPER = r"(?:module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module|_forward_module)\."
LEADING_WRAPPERS = re.compile(rf"^(?:{_WRAPPER}|model\.)+")
_INSIDE = re.compile(rf"(?<=\.){_WRAPPER}")
# The key of what our runs record in a checkpoint's `meta`.
RECORD = "convnext_dense"
# torch and mmengine count here how often they averaged.
_COUNTERS = ("n_averaged", "steps")


@dataclass(frozen=True)
class ParameterSet:
    """A set of parameters in a checkpoint.

    Attributes:
        state: Parameters by name, without wrappers inside the names.
        key: Dotted key of the set in the checkpoint, or None for the checkpoint itself.
        left: Keys of the other sets, which were not taken.
    """

    state: Mapping[str, Tensor]
    key: str | None
    left: tuple[str, ...]


def find_parameters(
    checkpoint: object, source: str, prefix: str | None = None, ema: bool = False
) -> ParameterSet:
    """Find the parameters in a checkpoint of any training loop.

    Args:
        checkpoint: Content of a file: parameters, or containers of them.
        source: Name of the checkpoint in messages.
        prefix: Take only the parameters under it: keys of containers, then the beginning of names.
        ema: Whether to take the moving averages if there are both.

    Raises:
        RuntimeError: If the checkpoint has no parameters.
    """
    if not prefix:
        return _choose(checkpoint, source, ema)
    failure: RuntimeError | None = None
    for keys, node, rest in reversed(list(_descents(checkpoint, prefix.strip(".").split(".")))):
        try:
            found = _choose(node, source, ema and not keys)
            state = parameters_below(rest, found.state, source) if rest else found.state
        except RuntimeError as error:
            failure = error  # the whole checkpoint is tried last, and its error is raised
        else:
            key = ".".join([*keys, *([found.key] if found.key else [])])
            return ParameterSet(state, key or None, found.left)
    assert failure is not None
    raise failure


def parameters_below(prefix: str, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the parameters whose names begin with a prefix, by the rest of their names.

    Raises:
        RuntimeError: If there are none; the message shows how the names begin.
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
    """Return the name of a parameter without the wrappers inside it; those in front stay.

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
    """Return what OpenMMLab's checkpoints store beside the parameters, such as the classes."""
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def trained_classes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes in a checkpoint's ``meta``, or an empty tuple."""
    dataset = meta.get("dataset_meta")
    classes = dataset.get("classes") if isinstance(dataset, Mapping) else None
    # mmdet 2.x and mmseg 0.x wrote CLASSES; Meta's fine-tuned models come from them.
    classes = classes or meta.get("CLASSES")
    return tuple(map(str, classes)) if isinstance(classes, (list, tuple)) else ()


def is_state(node: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether an object is a state dict: tensors by name, and nothing else."""
    return (
        isinstance(node, Mapping)
        and bool(node)
        and all(isinstance(name, str) for name in node)
        and all(isinstance(value, Tensor) for value in node.values())
    )


def _choose(checkpoint: object, source: str, ema: bool) -> ParameterSet:
    sets = dict(_sets(checkpoint))
    swapped = isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(EMA_HOOK_KEY), Mapping)
    # If a file has this key, or the set is the whole file, no key says whether it is averaged.
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
    """Yield each set of parameters under the known keys, with its path of keys."""
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
    """Yield what the first keys of a prefix lead to, with these keys and the rest of the prefix.

    The first item uses no key of the prefix, and each further item one key more.
    """
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
    # If two parameters would get the same name, keep all names as they are.
    if len(set(names.values())) < len(names):
        return state
    return {stripped: state[name] for name, stripped in names.items()}
