"""Exported models that read pictures as the toolkit does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnext_dense.config.options import RunOptions, changed_options
from convnext_dense.data.loading import LoadPicture
from convnext_dense_runtime import Model

# Options that are about neither the config nor its model.
_NEUTRAL = ("checkpoint", "out")


class ExportedPredictor(Model):
    """An exported model whose pictures may be addresses too, and are refused if they are damaged.

    Arguments as for :class:`~convnext_dense.runtime.Model`.
    """

    def read(self, path: str | Path) -> np.ndarray:
        """Return the pixels of a file or URL."""
        if "://" not in str(path) and not Path(path).is_file():
            raise FileNotFoundError(f"there is no picture {path}")
        loader = LoadPicture(color_type=self.metadata.color_type)
        loaded = loader.transform(dict(img_path=str(path)))
        assert loaded is not None  # only `ignore_empty` makes it so
        return loaded["img"]


def refuse_options(options: RunOptions) -> None:
    """Refuse options of a config or a model where the model is an exported one.

    Raises:
        ValueError: If there is one; the message names it.
    """
    given = [name for name in changed_options(options) if name not in _NEUTRAL]
    if given:
        raise ValueError(
            f"`{given[0]}` cannot change {options.config}: an exported model is used as it is"
        )
