"""Check the keys that a user sets in a config, and suggest a similar key for an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from mmengine.config import Config, ConfigDict

from convnext_dense.config.checks.known_keys import EVERYWHERE, FREE, known_keys
from convnext_dense.config.checks.signatures import Arguments, arguments_of_type, registered_names
from convnext_dense.config_tree import walk

# Similarity of two names, from 0 to 1, above which one is suggested for the other; and above which
# an argument is refused as misspelt although the class takes any argument.
_ALIKE, _MISSPELT = 0.6, 0.85


class UnknownKeyError(ValueError):
    """A key is unknown to the config and to the class that would read it.

    Attributes:
        key: The dotted key.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def check_keys(cfg: Config, options: Mapping[str, object], forced: Iterable[str] = ()) -> None:
    """Check that the keys that will be set in a config are known.

    A key is known if the config has it, if the class named by the ``type`` beside it takes it, or
    if it is listed in :mod:`convnext_dense.config.checks.known_keys`. In a new dict without
    ``type``, all keys are known.

    Args:
        cfg: The config before the keys are set.
        options: Values by dotted key, as for ``Config.merge_from_dict``.
        forced: Keys that are allowed, with all keys below them.

    Raises:
        UnknownKeyError: If a key is unknown; the message names the most similar known key.
        ValueError: If a key cannot be set at its place.
    """
    options = dict(_flat(options))
    # A dict may be set after its parts, and replaces them; mmengine cannot do it the other way.
    keys = list(options)
    for place, key in enumerate(keys):
        for part in keys[place + 1 :]:
            if part.startswith(f"{key}."):
                raise ValueError(f"{key} and {part} cannot both be set: give one of them")
    for key in keys:
        is_replaced = any(key.startswith(f"{whole}.") for whole in keys)
        is_forced = any(key == one or key.startswith(f"{one}.") for one in forced)
        if not (is_replaced or is_forced):
            _check_key(cfg, key, options)


def _flat(options: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        key = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from _flat(value, key)
        else:
            yield key, value


def _check_key(cfg: Config, key: str, options: Mapping[str, object]) -> None:
    """Follow a dotted key as far as the config has it, and check its first new part."""
    node: object = cfg._cfg_dict
    is_new = False
    parts = key.split(".")
    if "" in parts:
        raise ValueError(f"{key!r} is not a key: give names with single dots between them")
    for index, part in enumerate(parts):
        here = ".".join(parts[:index])
        if options.get(f"{here}._delete_") is True:
            node, is_new = ConfigDict(), True
        if isinstance(node, (list, tuple)):
            node = _entry(node, key, index)
            continue
        if not isinstance(node, dict):
            raise ValueError(
                f"{key} cannot be set: {here} is {node!r}, which has no keys. "
                f"{here}._delete_=True puts a dict in its place"
            )
        if part not in node:
            _check_new(cfg, node, parts, index, options, is_new)
            is_new = True
        elif key == f"{here}.type":
            _check_class(cfg, key, node, options[key])
        node = node[part] if part in node else ConfigDict()
    value = options[key]
    is_built = isinstance(node, dict) and "type" in node
    if is_built and not (value is None or isinstance(value, (dict, list, tuple))):
        raise ValueError(f"{key} is a dict, but {value!r} is not: set its keys, or None")


def _check_class(cfg: Config, key: str, node: Mapping, name: object) -> None:
    """Check that a new ``type`` names a known class, if the old ``type`` does."""
    scope = node.get("_scope_") or cfg.get("default_scope")
    before = node.get("type")
    if before is None or arguments_of_type(before, scope) is None:  # no registry has it
        return
    if isinstance(name, str) and arguments_of_type(name, scope) is None:
        names = registered_names(scope)
        near = [known for known in names if known.lower() == name.lower()]
        near = near or get_close_matches(name, names, 1, _ALIKE)
        raise ValueError(
            f"{key} is {name!r}, and there is no such class in scope {scope}"
            + (f"; the nearest is {near[0]}" if near else "")
        )


def _entry(node: list | tuple, key: str, index: int) -> object:
    """Return the entry of a list whose index is a part of a key."""
    parts = key.split(".")
    here, part = ".".join(parts[:index]), parts[index]
    if not (part.isdecimal() and int(part) < len(node)):
        raise ValueError(
            f"{key} cannot be set: {here} is a list of length {len(node)} without entry {part!r}: "
            + (f"give an index from 0 to {len(node) - 1}" if node else "give the whole list")
        )
    if isinstance(node, tuple) or index == len(parts) - 1:
        raise ValueError(f"{key} cannot be set by itself: give the whole list {here}")
    return node[int(part)]


def _check_new(
    cfg: Config,
    node: Mapping,
    parts: list[str],
    index: int,
    options: Mapping[str, object],
    is_new: bool,
) -> None:
    """Check a part of a key that its dict does not have yet."""
    here, part = ".".join(parts[:index]), parts[index]
    place = ".".join(name for name in parts[:index] if not name.isdecimal())
    listed = known_keys(place)
    if part in listed or place.rpartition(".")[2] in FREE:
        return
    kind = options.get(f"{here}.type", node.get("type"))
    scope = node.get("_scope_") or cfg.get("default_scope")
    taken = arguments_of_type(kind, scope) if kind is not None and here else None
    is_read_by = f": {_named(kind)} takes no {part!r}" if taken else ""
    if taken is None:
        # The reader of the dict is not known, so any key may be right, unless all are listed.
        is_open = (kind is not None or is_new) and len(listed) == len(EVERYWHERE)
        taken = Arguments(frozenset(), is_open)
    if part in taken.names:
        return
    named = {*map(str, node), *taken.names}
    if taken.is_open and not get_close_matches(part, named, 1, _MISSPELT):
        return
    key = ".".join(parts)
    near = _nearest(cfg, parts, index, named, listed)
    raise UnknownKeyError(
        key, f"there is no key {key}{is_read_by}" + (f"; the nearest is {near}" if near else "")
    )


def _named(kind: object) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _nearest(
    cfg: Config, parts: list[str], index: int, beside: set[str], listed: Iterable[str]
) -> str | None:
    """Return the known key that was most likely meant, or None."""
    key, here, rest = ".".join(parts), parts[:index], parts[index + 1 :]
    all_keys = [
        f"{path}.{name}" if path else str(name)
        for path, node in walk(cfg._cfg_dict)
        for name in node
    ]
    # The beginning of the key may be missing, as in max_epochs.
    whole = [known for known in all_keys if known.endswith(f".{key}")]
    if whole:
        return min(whole, key=len)
    for names in (beside, listed):
        for match in get_close_matches(parts[index], names, 3, _ALIKE):
            near = ".".join([*here, match, *rest])
            if not rest or near in all_keys:
                return near
    return next(iter(get_close_matches(key, all_keys, 1, _ALIKE)), None)
