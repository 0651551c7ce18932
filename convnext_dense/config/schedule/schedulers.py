"""Scale the schedulers of a config to another length of the training."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

from mmengine.config import Config, ConfigDict

from convnext_dense.config.schedule.length import ENDLESS, Scaling, nearest
from convnext_dense.config_tree import type_name, walk

# The kinds of schedulers of mmengine, mmdet and mmseg, with the arguments beside `begin` and `end`
# that are places in the schedule or spans of it.
KINDS: dict[str, tuple[str, ...]] = {
    "Constant": (),
    "CosineAnnealing": ("T_max",),
    "CosineRestart": ("periods",),
    "Exponential": ("gamma",),
    "Linear": (),
    "MultiStep": ("milestones",),
    "OneCycle": ("total_steps",),
    "Poly": (),
    "QuadraticWarmup": (),
    "ReduceOnPlateau": (),
    "Step": ("step_size",),
}
_SUFFIXES = ("LR", "Momentum", "ParamScheduler")
_NAMES = {f"{kind}{suffix}": kind for kind in KINDS for suffix in _SUFFIXES}
_NAMES["PolyLRRatio"] = "Poly"
# As warm-ups they multiply at their first step and take it back at their last: they need both.
_TWO_STEPS = ("Constant", "Linear")
_WARM_UPS = ("Constant", "Linear", "QuadraticWarmup")
# A warm-up takes at most this part of a run, if the config counts it in other units than the run.
_WARM_UP_SHARE = 10
HALF = Fraction(1, 2)


def scale_schedulers(cfg: Config, scaling: Scaling) -> list[str]:
    """Scale each scheduler, so that its curve keeps its shape over the whole training.

    Epochs stay epochs where whole epochs are near enough. In a run too short for that, schedulers
    of epochs count iterations.

    Args:
        cfg: Changed in place: ``param_scheduler``.
        scaling: The change of the length.

    Returns:
        Notes about what is not scaled alike.

    Raises:
        ValueError: If a scheduler is of a kind that cannot be scaled; the message names it.
    """
    nodes = list(schedulers(cfg))
    for key, node in nodes:
        _check_kind(key, node, scaling)
    of_iterations = [node for _, node in nodes if not _epochs(node)]
    refined = False
    if scaling.new.by_epoch and scaling.per_epoch:
        copies = [copy.deepcopy(node) for _, node in nodes if _epochs(node)]
        refined = not all(_Scaled(node, scaling).scale() for node in copies)
    for _, node in nodes:
        _Scaled(node, scaling, refined).scale()
    if scaling.old.by_epoch and scaling.iterations:
        return _shorten_warm_up(of_iterations, scaling.iterations)
    return []


def schedulers(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the schedulers of a config with their dotted keys, also those of several optimizers."""
    for path, node in walk(cfg.get("param_scheduler"), "param_scheduler"):
        if "type" in node:
            yield path, node


def kind_of(scheduler: ConfigDict) -> str | None:
    """Return the kind of a scheduler in :data:`KINDS`, or None."""
    return _NAMES.get(type_name(scheduler))


def _check_kind(key: str, node: ConfigDict, scaling: Scaling) -> None:
    kind = kind_of(node)
    if kind is None:
        raise ValueError(
            f"{key} is a {type_name(node)}, which cannot be scaled to another length: known are "
            f"{', '.join(sorted(name for name in _NAMES if name.endswith(('LR', 'Ratio'))))}"
        )
    starts_later = kind == "ReduceOnPlateau" and node.get("begin", 0) > 0
    if starts_later and scaling.old.by_epoch and not scaling.new.by_epoch:
        raise ValueError(
            f"{key}: a {type_name(node)} begins by epochs, and this run counts iterations: "
            f"leave out its begin={node.begin}"
        )


def _epochs(node: ConfigDict) -> bool:
    return bool(node.get("by_epoch", True))


class _Scaled:
    """A scheduler that is scaled in place.

    If it is ``refined``, one of epochs counts iterations in a run of epochs.
    """

    def __init__(self, node: ConfigDict, scaling: Scaling, refined: bool = False) -> None:
        self.node = node
        self.kind = kind_of(node)
        by_epoch = _epochs(node)
        self.factor = scaling.of_epochs if by_epoch else scaling.of_iterations
        self.old_length = scaling.old.steps if by_epoch == scaling.old.by_epoch else ENDLESS
        self.new_length = scaling.new.steps if by_epoch or not scaling.new.by_epoch else ENDLESS
        self.is_near = True
        becomes_iterations = by_epoch and scaling.old.by_epoch and not scaling.new.by_epoch
        if self.kind == "ReduceOnPlateau":  # it counts validations, as epochs
            if becomes_iterations:
                node.pop("end", None)
                self.factor = Fraction(1)
        elif becomes_iterations or (by_epoch and refined and scaling.per_epoch):
            node["by_epoch"] = False
            node.pop("convert_to_iter_based", None)
            if scaling.new.by_epoch and scaling.per_epoch:
                self.factor *= scaling.per_epoch
                self.new_length = scaling.new.steps * scaling.per_epoch

    def scale(self) -> bool:
        """Scale the scheduler, and return whether all places moved by half a step at most."""
        if self.factor == 1 and self.old_length == self.new_length:
            return True
        node = self.node
        begin, end = node.get("begin", 0), node.get("end", ENDLESS)
        old_span = (end if end < ENDLESS else self.old_length) - begin
        if begin:
            node["begin"] = self._place(begin)
        if end < ENDLESS:
            is_start = self.kind in _TWO_STEPS and not begin
            least = min(old_span, 2 if is_start else 1, max(1, self.new_length))
            node["end"] = self._place(end, least=node.get("begin", 0) + least)
        new_span = (node["end"] if end < ENDLESS else self.new_length) - node.get("begin", 0)
        for key in KINDS[self.kind or ""]:
            if node.get(key) is not None:
                value = self._argument(key, node[key], old_span, new_span)
                if value is not None:
                    node[key] = value
        return self.is_near

    def _place(self, old: int, least: int = 0) -> int:
        exact = old * self.factor
        place = max(nearest(exact), least)
        self.is_near &= abs(place - exact) <= HALF
        return place

    def _argument(self, key: str, old: object, old_span: int, new_span: int) -> object:
        if key == "gamma":
            return float(old) ** float(1 / self.factor)  # type: ignore[arg-type]
        if key == "milestones":
            return self._milestones(list(old), old_span, new_span)  # type: ignore[call-overload]
        if key == "step_size":
            return self._step_size(old, new_span)  # type: ignore[arg-type]
        if key == "periods":
            return self._periods(list(old))  # type: ignore[call-overload]
        if old == old_span:
            return new_span
        return self._place(old, least=1)  # type: ignore[arg-type]

    def _milestones(self, old: list[int], old_span: int, new_span: int) -> list[int]:
        """Scale milestones; no two fall together, and those of the run stay in it."""
        new: list[int] = []
        for milestone in old:
            exact = milestone * self.factor
            place = max(nearest(exact), 1)
            if milestone < old_span:
                place = min(place, new_span - 1)
            self.is_near &= abs(place - exact) <= HALF
            if place < 1 or place in new:
                self.is_near = False
            else:
                new.append(place)
        return new

    def _step_size(self, old: int, new_span: int) -> int | None:
        """Scale the distance of steps; if it is not whole, the steps become milestones.

        The error of a rounded distance would grow with each step.
        """
        exact = old * self.factor
        if exact.denominator == 1 or new_span >= ENDLESS:
            return self._place(old, least=1)
        places = [nearest(step * exact) for step in range(1, math.ceil(new_span / exact))]
        milestones = sorted({place for place in places if 0 < place < new_span})
        self.is_near &= len(milestones) == len(places)
        self.node["type"] = f"Multi{type_name(self.node)}"
        self.node["milestones"] = milestones
        self.node.pop("step_size")
        return None

    def _periods(self, old: list[int]) -> list[int]:
        ends = [0]
        for index in range(len(old)):
            ends.append(self._place(sum(old[: index + 1]), least=ends[-1] + 1))
        return [end - start for start, end in itertools.pairwise(ends)]


def _shorten_warm_up(nodes: list[ConfigDict], iterations: int) -> list[str]:
    """End a warm-up in iterations after a tenth of the run, if it would take longer.

    The 500 iterations of a recipe are meant for COCO. On a small data set they may be all epochs.
    """
    notes = []
    for node in nodes:
        end, latest = node.get("end", ENDLESS), max(2, iterations // _WARM_UP_SHARE)
        is_warm_up = (
            kind_of(node) in _WARM_UPS
            and not node.get("begin", 0)
            and node.get("start_factor", 0) <= node.get("end_factor", 1)
        )
        if is_warm_up and latest < end < ENDLESS:
            node["end"] = latest
            notes.append(f"the warm-up takes a tenth of the run, {latest} iterations, not {end}")
            for other in nodes:
                if other.get("begin") == end:
                    other["begin"] = latest
    return notes
