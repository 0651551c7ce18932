"""Compare the parameters of a checkpoint with those of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from torch import Tensor

from convnext_dense.text import classes_argument, first_of

SHOWN = 3
MISSING = "missing"
# mmdet 2.x kept moving averages as buffers of the model.
OLD_AVERAGES = "ema_"
USE_ITS_CONFIG = "Use the config that it was trained with"
# A buffer that old files lack. torch adds it by itself.
ADDED_BY_TORCH = "num_batches_tracked"


@dataclass
class Comparison:
    """How the parameters of a checkpoint compare with those of a model, by the model's names.

    Attributes:
        fitting: Parameters that both have, with the same shape.
        missing: Names that only the model has.
        unknown: Names that only the checkpoint has.
        reshaped: Parameters of different shapes, with the checkpoint's and the model's, as in
            ``(7, 4) for (3, 4)``.
        resized_heads: Those in ``reshaped`` that belong to a head for another number of classes.
        averages: Moving averages that mmdet 2.x kept among the parameters. They are ignored.
        obstacle: Why the network computes something else although the names match, or None.
    """

    fitting: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    resized_heads: list[str] = field(default_factory=list)
    averages: list[str] = field(default_factory=list)
    obstacle: str | None = None

    def fits(self) -> bool:
        """Whether every parameter matches."""
        return not (self.missing or self.unknown or self.reshaped or self.obstacle)

    def concerns(self, path: str) -> bool:
        """Whether a parameter that does not match begins with a prefix."""
        return any(name.startswith(path) for name in (*self.missing, *self.unknown, *self.reshaped))

    def keep_model_heads(self) -> list[str]:
        """Let heads of another number of classes keep the model's values; return their names."""
        left, self.resized_heads = self.resized_heads, []
        for name in left:
            del self.reshaped[name]
        return left

    def faults(self, in_file: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """Return each kind of fault with the names that have it.

        Args:
            in_file: The parameter's name in the file, by its name in the model.
        """
        in_file = in_file or {}
        return {
            MISSING: self.missing,
            "not in the model": [in_file.get(name, name) for name in self.unknown],
            "of another shape": [f"{name} {shapes}" for name, shapes in self.reshaped.items()],
            "unlike ours": [self.obstacle] if self.obstacle else [],
        }


def compare_parameters(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Comparison:
    """Compare the names and shapes of a checkpoint's parameters with those of a model.

    Args:
        given: Parameters of the checkpoint, by the model's names as far as they are known.
        wanted: Parameters of the model.
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
    result.missing = [
        name for name in wanted if name not in given and not name.endswith(ADDED_BY_TORCH)
    ]
    return result


def raise_mismatch(
    subject: str, faults: Mapping[str, list[str]], remedies: Iterable[str]
) -> NoReturn:
    """Raise an error that names the faults and what the user can do.

    Args:
        subject: Beginning of the message: the file and the model.
        faults: Names of parameters by the fault that they have. A fault without names is skipped.
        remedies: Sentences that end the message.

    Raises:
        RuntimeError: Always.
    """
    complaints = "; ".join(
        f"{len(names)} {fault} ({first_of(names, SHOWN)})"
        for fault, names in faults.items()
        if names
    )
    raise RuntimeError(". ".join([f"{subject}: {complaints}", *remedies]))


def remedies_for_classes(
    comparison: Comparison, trained: tuple[str, ...], wanted: int, may_reinit: bool
) -> list[str]:
    """Return what helps if only the number of classes differs; otherwise an empty list.

    Args:
        comparison: The comparison that found faults.
        trained: The classes of the checkpoint, if it names them.
        wanted: Number of classes of the model; 0 if it is not known.
        may_reinit: Whether heads may keep their random values.
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
        may_reinit
        and comparison.resized_heads
        and len(comparison.resized_heads) == len(comparison.reshaped)
    ):
        remedies.append(
            "reinit_heads=True, also as a config key, leaves heads for another number of classes "
            "at their random values, from which you train them"
        )
    return remedies


def _in_head(name: str) -> bool:
    return any(part.endswith("head") for part in name.split("."))
