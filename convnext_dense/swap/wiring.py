"""Connect the stages of a ConvNeXt to the neck and heads that read the old backbone's maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from convnext_dense.swap.heads import Head, NeedsAdapterError, find_heads
from convnext_dense.swap.match_stages import choose_sources, match_stages, undilated_stride
from convnext_dense.swap.model import Model
from convnext_dense.swap.neck import rewire_neck
from convnext_dense.swap.probe import Level, NeckTrace, trace_neck


@dataclass(frozen=True)
class Wiring:
    """What the new backbone must return.

    Attributes:
        tier: ``native`` or ``adapter``.
        stages: The stages that are read, ascending.
        output_stride: Largest stride of the stages.
        reads: Strides of the old maps that are read, for the report.
    """

    tier: Literal["native", "adapter"]
    stages: tuple[int, ...]
    output_stride: int
    reads: tuple[int, ...]


def wire_model(model: Model, mode: str) -> Wiring:
    """Rewrite the necks and heads of a model for the stages of a ConvNeXt.

    Args:
        model: The model.
        mode: ``auto``, ``native`` or ``adapter``.

    Raises:
        NeedsAdapterError: If ``mode`` is ``native`` and an adapter is needed; the message says why.
    """
    if mode == "adapter":
        return _wire_adapter(model, "mode='adapter'")
    done = len(model.edits.changes)
    try:
        return _wire_natively(model)
    except NeedsAdapterError as reason:
        model.edits.undo(done)
        flattened = _without_rescaling_neck(model)
        if flattened:
            try:
                return _wire_natively(flattened)
            except NeedsAdapterError:
                model.edits.undo(done)
        if mode == "native":
            raise
        return _wire_adapter(model, str(reason))


def _wire_natively(model: Model) -> Wiring:
    """Let necks and heads read the stages directly."""
    old = model.old
    if old.eval_output is not None:
        raise NeedsAdapterError(
            "the old backbone returns fewer maps in evaluation than in training"
        )
    if old.class_tokens:
        raise NeedsAdapterError("the old backbone returns a class token with each map")
    if model.necks:
        trace = _trace_or_assume(model)
        reads = trace.reads
        stages, output_stride = _match(model, reads)
        result = rewire_neck(model, trace, _levels(model, stages, output_stride))
        before, after = ([level.channels for level in t.outputs] for t in (trace, result))
        if before != after:
            heads = _checked_heads(model, trace.outputs)
            _rewire_heads(model, heads, dict(enumerate(after)), len(before))
    else:
        heads = _checked_heads(model, old.levels)
        reads = _read_by(heads)
        stages, output_stride = _match(model, reads)
        channels = {p: model.widths[s] for p, s in zip(reads, stages, strict=True)}
        _rewire_heads(model, heads, channels, len(old.levels))
    return Wiring("native", stages, output_stride, model.strides(reads))


def _wire_adapter(model: Model, reason: str) -> Wiring:
    """Add a first neck that makes the maps of the old backbone."""
    old = model.old
    kept = reads = tuple(range(len(old.levels)))
    if model.necks:
        kept, reads = _narrow_neck(model)
    elif old.eval_output is None and not old.class_tokens:
        kept = reads = _narrow_heads(model)
    matched = match_stages(old, reads, len(model.widths))
    if matched:
        stages, output_stride = matched
        chosen = list(stages)
    else:
        output_stride = undilated_stride(len(model.widths))
        chosen = choose_sources(model.strides(reads), len(model.widths))
        stages = tuple(range(min(chosen), len(model.widths)))
    source = {p: stages.index(stage) for p, stage in zip(reads, chosen, strict=True)}
    new = _levels(model, stages, output_stride)
    adapter: dict[str, Any] = dict(
        type="PyramidAdapter",
        in_channels=[level.channels for level in new],
        in_strides=[level.stride for level in new],
        out_channels=[old.channels[p] if p in reads else 0 for p in kept],
        out_strides=list(model.strides(kept)),
        sources=[source.get(p, 0) for p in kept],
    )
    if old.eval_output is not None:
        adapter["eval_output"] = old.eval_output
    if old.class_tokens:
        adapter["class_tokens"] = True
    model.set_necks([adapter, *model.necks], reason)
    return Wiring("adapter", stages, output_stride, model.strides(reads))


def _without_rescaling_neck(model: Model) -> Model | None:
    """Remove a neck that only makes a pyramid from equal maps; ConvNeXt's stages are one.

    Returns:
        The model without the neck, or None if it has no such neck.
    """
    strides = model.old.strides
    if len(strides) < 2 or len(set(strides)) > 1 or not model.necks:
        return None
    try:
        levels = _trace(model).outputs
    except NeedsAdapterError:
        return None
    if len({level.stride for level in levels}) < len(levels):
        return None
    model.set_necks([], "it makes a pyramid from equal maps, but the stages are a pyramid already")
    return replace(model, old=replace(model.old, levels=levels, dilated=False))


def _trace(model: Model) -> NeckTrace:
    path, neck = model.first_neck
    try:
        return trace_neck(neck, model.scope, model.old.levels)
    except Exception as error:
        raise NeedsAdapterError(
            f"{path} cannot be tried: {type(error).__name__}: {error}"
        ) from error


def _trace_or_assume(model: Model) -> NeckTrace:
    """Trace the neck; if it cannot run here, assume from its arguments what it reads."""
    try:
        return _trace(model)
    except NeedsAdapterError as reason:
        _, neck = model.first_neck
        if not neck.get("in_channels"):
            raise
        model.edits.warn(f"{reason}; its new channels were written without a trial")
        first = neck.get("start_level") or 0
        return NeckTrace(tuple(range(first, len(model.old.levels))), outputs=())


def _match(model: Model, reads: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    matched = match_stages(model.old, reads, len(model.widths))
    if matched is None:
        raise NeedsAdapterError(f"no stages have the strides {model.strides(reads)}")
    return matched


def _levels(model: Model, stages: tuple[int, ...], output_stride: int) -> tuple[Level, ...]:
    return tuple(Level(model.widths[s], min(4 * 2**s, output_stride)) for s in stages)


def _narrow_neck(model: Model) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pass a neck only the maps that it reads.

    Returns:
        Positions of the maps that the neck is passed, and of those that it reads.
    """
    everything = tuple(range(len(model.old.levels)))
    try:
        trace = _trace(model)
    except NeedsAdapterError:
        return everything, everything
    try:
        rewire_neck(model, trace, tuple(model.old.levels[p] for p in trace.reads))
    except NeedsAdapterError:
        return everything, trace.reads
    return trace.reads, trace.reads


def _narrow_heads(model: Model) -> tuple[int, ...]:
    """Pass the heads only the maps that they read, and return the positions of these."""
    old = model.old
    try:
        heads = find_heads(model.part, model.path, model.scope, old.levels)
    except NeedsAdapterError:
        return tuple(range(len(old.levels)))
    reads = _read_by(heads)
    _rewire_heads(model, heads, {p: old.channels[p] for p in reads}, len(old.levels))
    return reads


def _checked_heads(model: Model, levels: tuple[Level, ...]) -> list[Head]:
    """Find the heads that read some maps, and check that they state the channels of these."""
    heads = find_heads(model.part, model.path, model.scope, levels)
    for head in heads:
        head.check(tuple(level.channels for level in levels))
    return heads


def _rewire_heads(model: Model, heads: list[Head], channels: dict[int, int], num_old: int) -> None:
    for head in heads:
        head.rewire(model.edits, channels, num_old)


def _read_by(heads: list[Head]) -> tuple[int, ...]:
    return tuple(sorted(set().union(*(head.reads for head in heads))))
