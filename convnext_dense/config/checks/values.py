"""Refuse values of a config that make no sense for a run, such as a learning rate of zero."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mmengine.config import Config

from convnext_dense.config.checks.rules import RULES
from convnext_dense.config_tree import SPLITS
from convnext_dense.limits import check_parallel

# Settings of a loader's worker processes, and their values without worker processes.
OF_WORKERS = {
    "persistent_workers": False,
    "prefetch_factor": None,
    "timeout": 0,
    "multiprocessing_context": None,
}
# The runner of the tools sets this in every run, so it is not the user's mistake.
_SET_FOR_EVERY_RUN = ("train_dataloader", "persistent_workers")


def check_values(cfg: Config, splits: Iterable[str] = ()) -> None:
    """Check the numbers and switches of a config.

    Args:
        cfg: A complete config.
        splits: The splits (``train``, ``val``, ``test``) whose loaders will start their worker
            processes on this machine.

    Raises:
        ValueError: If a value is wrong; the message names the key and the value.
    """
    for key, value in _leaves(cfg._cfg_dict):
        _check_value(key, value)
    for split in SPLITS:
        loader = cfg.get(f"{split}_dataloader")
        if isinstance(loader, dict):
            _check_workers(f"{split}_dataloader", loader, starts=split in splits)


def check_sections(cfg: Config, sections: Iterable[str]) -> None:
    """Check that a config has the sections that a run needs.

    Args:
        cfg: A complete config.
        sections: Keys whose values must be dicts.

    Raises:
        ValueError: If a key is missing or is not a dict; the message names it.
    """
    name = cfg.filename or "the config"
    for key in sections:
        section = cfg.get(key)
        if section is None:
            raise ValueError(f"{name} has no {key}: it is a part of a config")
        if not isinstance(section, dict):
            raise ValueError(f"{name}: {key} is {section!r}, not a dict")
        if key == "model" and section and "type" not in section:
            raise ValueError(f"{name}: model has no type, which names its class")


def _check_value(key: str, value: object) -> None:
    if value is None:
        return
    for pattern, rule in RULES.items():
        if re.fullmatch(pattern, key) and not rule.is_right(value):
            raise ValueError(f"{key} is {rule.meaning}, got {value!r}")


def _check_workers(key: str, loader: dict, *, starts: bool) -> None:
    """Check the number of a loader's workers, and that settings of workers have workers."""
    workers = loader.get("num_workers", 0)
    if starts:
        check_parallel(f"{key}.num_workers", workers, "; `workers` sets it")
    for name, none in OF_WORKERS.items():
        if loader.get(name) and not workers and (key, name) != _SET_FOR_EVERY_RUN:
            raise ValueError(
                f"{key}.{name} is {loader[name]!r}, but {key}.num_workers is 0: set it to {none}, "
                "or set num_workers"
            )


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value below a node with its dotted key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}.{index}" if isinstance(value, dict) else path)
    else:
        yield path, node
