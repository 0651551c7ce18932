"""What an examination finds: one verdict a line, with the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import torch

# Below this ratio of the times a path counts as slow: noise stays within it.
SLOW_BELOW = 0.9


class Verdict(str, Enum):
    """What a finding says."""

    FIT = "fit"
    SLOW = "slow"
    WRONG = "wrong"
    ABSENT = "absent"
    NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Finding:
    """One line of an examination.

    Attributes:
        name: What was looked at.
        verdict: What it is.
        detail: What was seen or measured.
        remedy: The way out; empty if none is needed.
        figures: What was measured, by name.
        kernel: The kernel to switch off if the verdict is wrong or slow, as in
            :data:`convnext_dense.kernels.switched_off.KERNELS`, or None.
    """

    name: str
    verdict: Verdict
    detail: str = ""
    remedy: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)
    kernel: str | None = None

    @classmethod
    def judged(
        cls,
        name: str,
        right: bool,
        detail: str,
        remedy: str = "report this line",
        figures: Mapping[str, object] | None = None,
        *,
        otherwise: Verdict = Verdict.WRONG,
    ) -> Finding:
        """Return a finding that is fit, or else has another verdict and the way out."""
        if right:
            return cls(name, Verdict.FIT, detail, figures=figures or {})
        return cls(name, otherwise, detail, remedy, figures or {})


@dataclass(frozen=True)
class Examination:
    """What is examined, and where.

    Attributes:
        folder: An empty folder for data, checkpoints and logs.
        work_dir: The folder in which the user's runs will write.
        gpus: The indices of the GPUs.
        full: Whether to look at real sizes, which takes minutes.
        recipe: A config, by its path or name, whose speed is measured at full size.
        workers: The number of data loading processes.
    """

    folder: Path
    work_dir: Path
    gpus: tuple[int, ...] = ()
    full: bool = False
    recipe: str = "mask_rcnn_convnext_t_coco"
    workers: int = 2


@dataclass(frozen=True)
class Check:
    """Something to examine.

    Attributes:
        name: What it looks at.
        look: Yields the findings, each as soon as it is known.
    """

    name: str
    look: Callable[[Examination], Iterable[Finding]]


@dataclass(frozen=True)
class GPUCheck:
    """Something to examine on each GPU.

    Attributes:
        name: What it looks at.
        look: As in :class:`Check`, on one device.
        full_only: Whether it takes too long for a quick examination.
    """

    name: str
    look: Callable[[Examination, torch.device], Iterable[Finding]]
    full_only: bool = False


def speed_verdict(plain_over_fast: float) -> Verdict:
    """Return fit, or slow where a fast path takes longer than plain torch.

    Example:
        >>> speed_verdict(1.5).value, speed_verdict(0.5).value
        ('fit', 'slow')
    """
    return Verdict.FIT if plain_over_fast >= SLOW_BELOW else Verdict.SLOW
