"""The one comparison of a checkpoint's parameters with those of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from torch import Tensor

from convnext_dense.checkpoints.report import listed
from convnext_dense.text import classes_argument

SHOWN = 3
# mmdet 2.x kept moving averages as buffers of the model.
OLD_AVERAGES = "ema_"
USE_ITS_CONFIG = "Use the config that it was trained with"
# What torch adds by itself to files that are older than this buffer.
ADDED = "num_batches_tracked"


@dataclass
class Comparison:
    """Parameters of a checkpoint beside those of a model, by the model's names.

    Attributes:
        fitting: What the model has too, of the same shape.
        missing: What the model has alone.
        unknown: What the checkpoint has alone.
        reshaped: What has another shape: that of the checkpoint and the model's, as in ``(7, 4) for
            (3, 4)``.
        resized_heads: Those of ``reshaped`` that a head has for another number of classes.
        averages: Moving averages that mmdet 2.x kept among the parameters; they are left out.
        obstacle: Why the network computes otherwise in spite of its names, or None.
    """

    fitting: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    resized_heads: list[str] = field(default_factory=list)
    averages: list[str] = field(default_factory=list)
    obstacle: str | None = None

    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.unknown or self.reshaped or self.obstacle)

    def concerns(self, path: str) -> bool:
        """Whether what is wrong is below a prefix."""
        return any(name.startswith(path) for name in (*self.missing, *self.unknown, *self.reshaped))

    def keep_model_heads(self) -> list[str]:
        """Let heads of another number of classes keep the model's values; return their names."""
        left, self.resized_heads = self.resized_heads, []
        for name in left:
            del self.reshaped[name]
        return left

    def faults(self, in_file: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """Return what is wrong, and the names that it concerns.

        Args:
            in_file: What the file calls parameters, by the model's name.
        """
        in_file = in_file or {}
        return {
            "missing": self.missing,
            "not in the model": [in_file.get(name, name) for name in self.unknown],
            "of another shape": [f"{name} {shapes}" for name, shapes in self.reshaped.items()],
            "unlike ours": [self.obstacle] if self.obstacle else [],
        }


def compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Comparison:
    """Compare the names and shapes of a checkpoint's parameters with those of a model.

    Args:
        given: The checkpoint's, by the model's names as far as they are known.
        wanted: The model's.
    """
    result = Comparison()
    for name, value in given.items():
        if name not in wanted:
            old = name.startswith(OLD_AVERAGES)
            (result.averages if old else result.unknown).append(name)
        elif value.shape == (shape := wanted[name].shape):
            result.fitting[name] = value
        else:
            result.reshaped[name] = f"{tuple(value.shape)} for {tuple(shape)}"
            if _in_head(name) and value.shape[1:] == shape[1:]:
                result.resized_heads.append(name)
    result.missing = [name for name in wanted if name not in given and not name.endswith(ADDED)]
    return result


def raise_mismatch(
    subject: str, faults: Mapping[str, list[str]], remedies: Iterable[str]
) -> NoReturn:
    """Raise the error that names what is wrong, and what can be done.

    Args:
        subject: Says of what file and model.
        faults: What is wrong: the names that it concerns; nothing where there are none.
        remedies: Sentences.

    Raises:
        RuntimeError: Always.
    """
    complaints = "; ".join(
        f"{len(names)} {fault} ({listed(names, SHOWN)})" for fault, names in faults.items() if names
    )
    raise RuntimeError(". ".join([f"{subject}: {complaints}", *remedies]))


def remedies_for_classes(
    comparison: Comparison, trained: tuple[str, ...], wanted: int, anew: bool
) -> list[str]:
    """Return what helps where nothing differs but the number of classes; nothing elsewhere.

    Args:
        comparison: What is wrong.
        trained: The classes of the checkpoint, where it names them.
        wanted: How many the model is for; 0 where it does not say.
        anew: Whether the heads may be trained anew.
    """
    others = comparison.missing or comparison.unknown or comparison.obstacle
    if others or comparison.concerns("backbone."):
        return []
    remedies = []
    if trained and wanted and len(trained) != wanted:
        remedies.append(
            f"It was trained for {len(trained)} classes, and this model is for {wanted}: "
            f"take the file's own, {classes_argument(trained)}"
        )
    if (
        anew
        and comparison.resized_heads
        and len(comparison.resized_heads) == len(comparison.reshaped)
    ):
        remedies.append(
            "reinit_heads=True, also as a config key, leaves heads of another number of classes at "
            "their random values, to train them anew"
        )
    return remedies


def _in_head(name: str) -> bool:
    return any(part.endswith("head") for part in name.split("."))
