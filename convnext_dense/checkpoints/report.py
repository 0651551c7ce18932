"""Report what a load did with a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convnext_dense.backbone.archs import Arch
from convnext_dense.checkpoints.arch_names import describe_arch
from convnext_dense.text import first_of, printable


@dataclass(frozen=True)
class LoadReport:
    """Result of a load; ``str(report)`` is a short table.

    Attributes:
        source: Path, URL or hub id, or ``state dict``.
        layout: Layout of the file's names and shapes, such as ``meta`` or ``timm``.
        key: Key of the parameters in the checkpoint, or None.
        left: Other sets of parameters in the checkpoint, which were not taken.
        prefix: Prefix of the backbone's names in the file.
        arch: Architecture in the file, or the name of its step on the road to ConvNeXt.
        loaded: Names in the model of the parameters that were loaded.
        converted: Those in ``loaded`` that had another name or shape in the file.
        dropped: Names in the file that were left out, with the reason.
        missing: Names in the model that the file lacks. Output norms stay at 1 and 0.
        reinitialised: Parameters of heads that kept their random values, because the file's heads
            are for another number of classes.
        checksum: SHA-256 of the file, or None for a state dict.
        licence: Licence of the weights, as far as the source's name tells.
        mean: Mean of red, green and blue that the weights expect, from 0 to 255.
        std: Standard deviation that the weights expect, likewise.
        notes: Further information.
    """

    source: str
    layout: str
    key: str | None
    left: tuple[str, ...]
    prefix: str
    arch: Arch | str
    loaded: tuple[str, ...]
    converted: tuple[str, ...]
    dropped: Mapping[str, str]
    missing: tuple[str, ...]
    reinitialised: tuple[str, ...]
    checksum: str | None
    licence: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f" under {self.key!r}" if self.key else ""
        place += f", prefix {self.prefix!r}" if self.prefix else ""
        arch = self.arch if isinstance(self.arch, str) else describe_arch(self.arch)
        rows: list[tuple[str, str | None]] = [
            ("weights", self.source),
            ("sha256", self.checksum),
            ("layout", f"{self.layout}{place}"),
            ("architecture", arch.removeprefix("arch ")),
            ("loaded", f"{len(self.loaded)} parameters, {len(self.converted)} of them converted"),
        ]
        for reason in dict.fromkeys(self.dropped.values()):
            names = [name for name, why in self.dropped.items() if why == reason]
            rows.append(("dropped", f"{reason}: {first_of(names)}"))
        others = [name for name in self.missing if not is_output_norm(name)]
        norms = [name.rpartition(".")[0] for name in self.missing if is_output_norm(name)]
        norms = list(dict.fromkeys(norms))  # weight and bias go together
        heads = first_of(self.reinitialised)
        rows += [
            ("missing", f"left at 1 and 0: {first_of(norms)}" if norms else None),
            ("missing", f"left as they were: {first_of(others)}" if others else None),
            ("random", heads and f"other classes: {heads}"),
            ("not taken", ", ".join(self.left)),
            ("licence", self.licence),
            ("images", f"RGB, mean {_numbers(self.mean)}, std {_numbers(self.std)}"),
            *(("note", note) for note in self.notes),
        ]
        return "\n".join(printable(f"{title:<13}{text}") for title, text in rows if text)


def is_output_norm(name: str) -> bool:
    """Whether a parameter of a backbone belongs to an output norm; its name may have a prefix."""
    module = name.rsplit(".", 2)[-2]
    return module.startswith("norm") and module.removeprefix("norm").isdigit()


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
