"""Values of a config that make no sense for a run, such as a learning rate of zero."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mmengine.config import Config

from convnext_dense.config.checks.rules import RULES
from convnext_dense.config_tree import SPLITS
from convnext_dense.limits import check_parallel

# Settings of a loader's processes, and the value of each where there are none.
_OF_WORKERS = {"persistent_workers": False, "prefetch_factor": None, "timeout": 0}
# By the runner that the tools build.
_SET_FOR_EVERY_RUN = ("train_dataloader", "persistent_workers")


def check_values(cfg: Config, splits: Iterable[str] = ()) -> None:
    """Check the numbers of a config that a run counts, waits or multiplies by.

    Args:
        cfg: A whole config.
        splits: Which of ``train``, ``val`` and ``test`` have loaders whose processes will be
            started on this machine.

    Raises:
        ValueError: Naming the key and its value.
    """
    for key, value in _leaves(cfg._cfg_dict):
        _check_value(key, value)
    for split in SPLITS:
        loader = cfg.get(f"{split}_dataloader")
        if isinstance(loader, dict):
            _check_workers(f"{split}_dataloader", loader, starts=split in splits)


def check_sections(cfg: Config, sections: Iterable[str]) -> None:
    """Check that a config has what a run is built from.

    Args:
        cfg: A whole config.
        sections: Keys whose value is a dict.

    Raises:
        ValueError: Naming the key that is missing or is not a dict.
    """
    name = cfg.filename or "the config"
    for key in sections:
        section = cfg.get(key)
        if section is None:
            raise ValueError(f"{name} has no {key}: it is a part of a config")
        if not isinstance(section, dict):
            raise ValueError(f"{name}: {key} is {section!r}, not a dict")
        if key == "model" and section and "type" not in section:
            raise ValueError(f"{name}: model has no type, the class that it is built by")


def _check_value(key: str, value: object) -> None:
    if value is None:
        return
    for pattern, rule in RULES.items():
        if re.fullmatch(pattern, key) and not rule.is_right(value):
            raise ValueError(f"{key} is {rule.meaning}, got {value!r}")


def _check_workers(key: str, loader: dict, *, starts: bool) -> None:
    """Check the processes of a loader: their number, and that there are some to be set."""
    workers = loader.get("num_workers", 0)
    if starts:
        check_parallel(f"{key}.num_workers", workers)
    for name, none in _OF_WORKERS.items():
        if loader.get(name) and not workers and (key, name) != _SET_FOR_EVERY_RUN:
            raise ValueError(
                f"{key}.{name} is {loader[name]!r}, but {key}.num_workers is 0: set it to {none}, "
                "or take some workers"
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
