"""Keys that a user sets in a config: the known ones, and the nearest to one that is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from mmengine.config import Config, ConfigDict

from convnext_dense.config.checks.known_keys import EVERYWHERE, FREE, known_keys
from convnext_dense.config.checks.signatures import Arguments, arguments_of_type, registered_names
from convnext_dense.config_tree import walk

# How like two names are, from 0 to 1, before one is taken for the other misspelt; and before an
# argument that a class does not name, but would take, is.
_ALIKE, _MISSPELT = 0.6, 0.85


class UnknownKeyError(ValueError):
    """A key that neither the config nor the class that would read it knows.

    Attributes:
        key: The dotted key.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def check_keys(cfg: Config, options: Mapping[str, object], forced: Iterable[str] = ()) -> None:
    """Check that a config knows the keys that are to be set in it.

    A key is known where the config has it, where the class that the ``type`` beside it names takes
    it, and where it is listed in :mod:`convnext_dense.config.checks.known_keys`. Below a dict
    that is new and has no ``type``, any key is.

    Args:
        cfg: The config before they are set.
        options: Values by dotted key, as ``Config.merge_from_dict`` takes them.
        forced: Keys that are let through with all that is below them.

    Raises:
        UnknownKeyError: Where a key is not known, with the nearest one that is.
        ValueError: Where a key cannot be set at its place.
    """
    options = dict(_flat(options))
    # A whole that is set after its parts takes their place; mmengine cannot do the reverse.
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
    """Go down a dotted key as far as the config has it, and check the part that is new."""
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
        raise ValueError(f"{key} is a dict, and {value!r} is none: set its keys, or None")


def _check_class(cfg: Config, key: str, node: Mapping, name: object) -> None:
    """Check that there is a class of a name, where there is one of the name before."""
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
    """Return the entry of a list that a part of a key names by its index."""
    parts = key.split(".")
    here, part = ".".join(parts[:index]), parts[index]
    if not (part.isdecimal() and int(part) < len(node)):
        raise ValueError(
            f"{key} cannot be set: {here} is a list of {len(node)}, and has no entry {part!r}: "
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
    """Check a part of a key which its dict does not have."""
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
        # What reads it is not known: neither are all of its keys, unless they are listed.
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
    """Find the key that was most likely meant."""
    key, here, rest = ".".join(parts), parts[:index], parts[index + 1 :]
    all_keys = [
        f"{path}.{name}" if path else str(name)
        for path, node in walk(cfg._cfg_dict)
        for name in node
    ]
    # A key that lacks its beginning, such as max_epochs.
    whole = [known for known in all_keys if known.endswith(f".{key}")]
    if whole:
        return min(whole, key=len)
    for names in (beside, listed):
        for match in get_close_matches(parts[index], names, 3, _ALIKE):
            near = ".".join([*here, match, *rest])
            if not rest or near in all_keys:
                return near
    return next(iter(get_close_matches(key, all_keys, 1, _ALIKE)), None)
