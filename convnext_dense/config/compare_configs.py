"""Compare a run's config with its recipe and with the configs of other runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmengine.config import Config

from convnext_dense.config.shared_parts import GUARDS

ABSENT = "(none)"
_LONGEST = 400
# Keys that the tools set in every run, or that only name its place.
_ALWAYS = {
    "work_dir",
    "launcher",
    "filename",
    "train_dataloader.persistent_workers",
    "default_hooks.checkpoint.backend_args.backend",
    "default_hooks.checkpoint.type",
}


@dataclass(frozen=True)
class ConfigDifference:
    """A value that differs between configs.

    Attributes:
        keys: Dotted keys that differ in the same way.
        values: Text of the value in each config; :data:`ABSENT` if the key is missing.
    """

    keys: list[str]
    values: tuple[str, ...]


def config_differences(configs: Sequence[Config]) -> list[ConfigDifference]:
    """List the differences between configs.

    Keys that the tools set in every run are left out. Keys with the same last part and the same
    values are one entry, such as the data root of all loaders.

    Example:
        >>> one, two = Config(dict(a=dict(lr=1), b=2)), Config(dict(a=dict(lr=3), b=2))
        >>> config_differences([one, two])
        [ConfigDifference(keys=['a.lr'], values=('1', '3'))]
    """
    flat = [dict(_flatten(config._cfg_dict.to_dict())) for config in configs]
    merged: dict[tuple, list[str]] = {}
    for key in {key: None for values in flat for key in values}:
        values = tuple(_text(values[key]) if key in values else ABSENT for values in flat)
        if key not in _ALWAYS and len(set(values)) > 1:
            merged.setdefault((key.rpartition(".")[2], values), []).append(key)
    return [ConfigDifference(keys, values) for (_, values), keys in merged.items()]


def _flatten(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of a config by dotted keys; a list without dicts is one value."""
    if path == "custom_hooks" and isinstance(node, list | tuple):
        guards = [h for h in node if isinstance(h, dict) and h.get("type") in GUARDS]
        node = [hook for hook in node if hook not in guards]
        if not node:
            return
    items: Iterable[tuple[object, object]]
    if isinstance(node, dict) and node:
        items = node.items()
    elif isinstance(node, list | tuple) and _holds_dict(node):
        items = enumerate(node)
    else:
        yield path, node
        return
    for key, value in items:
        if key != "_scope_":
            yield from _flatten(value, f"{path}.{key}" if path else str(key))


def _holds_dict(node: object) -> bool:
    if isinstance(node, list | tuple):
        return any(map(_holds_dict, node))
    return isinstance(node, dict)


def _text(value: object) -> str:
    # A dumped config may hold a list where the recipe has a tuple.
    text = repr(_as_lists(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _as_lists(value: object) -> object:
    return [_as_lists(part) for part in value] if isinstance(value, list | tuple) else value
