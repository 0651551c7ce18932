"""Tiny models in files, as a training leaves them."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from .tiny import CLASSES, build, tiny_config


class Trained(NamedTuple):
    config: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a function that writes the config and a checkpoint of a tiny model once."""
    made = {}

    def write(name: str) -> Trained:
        if name not in made:
            folder = tmp_path_factory.mktemp("trained")
            cfg = tiny_config(name)
            cfg.dump(folder / "config.py")
            content = dict(
                state_dict=build(cfg).state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))
            )
            torch.save(content, folder / "epoch_1.pth")
            made[name] = Trained(folder / "config.py", folder / "epoch_1.pth")
        return made[name]

    return write
