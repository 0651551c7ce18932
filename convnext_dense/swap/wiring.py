"""Connect the stages of a ConvNeXt to the neck and heads that read the old backbone's maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convnext_dense.swap.edits import Edits
from convnext_dense.swap.heads import Head, NeedsAdapterError, NewMaps, find_heads
from convnext_dense.swap.match_stages import choose_sources, match_stages, undilated_stride
from convnext_dense.swap.neck import first_neck, rewire_neck
from convnext_dense.swap.probe import Level, NeckTrace, Pyramid, trace_neck


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


def wire_model(
    edits: Edits,
    part: dict,
    path: str,
    scope: str,
    old: Pyramid,
    widths: Sequence[int],
    mode: str,
) -> Wiring:
    """Rewrite the necks and heads of a model for the stages of a ConvNeXt.

    Args:
        edits: Records the changes.
        part: The dict that holds the backbone; its necks and heads are changed.
        path: Its dotted key in the config.
        scope: ``mmdet`` or ``mmseg``.
        old: The maps of the old backbone.
        widths: Channels of each stage of the new backbone.
        mode: ``auto``, ``native`` or ``adapter``.

    Raises:
        NeedsAdapterError: If ``mode`` is ``native`` and an adapter is needed; the message says why.
    """
    model = _Model(edits, part, path, scope, old, tuple(widths))
    if mode == "adapter":
        return model.wire_adapter("mode='adapter'")
    done = len(edits.changes)
    try:
        return model.wire_natively()
    except NeedsAdapterError as reason:
        edits.undo(done)
        flattened = model.without_rescaling_neck()
        if flattened:
            try:
                return flattened.wire_natively()
            except NeedsAdapterError:
                edits.undo(done)
        if mode == "native":
            raise
        return model.wire_adapter(str(reason))


@dataclass(frozen=True)
class _Model:
    edits: Edits
    part: dict
    path: str
    scope: str
    old: Pyramid
    widths: tuple[int, ...]

    def wire_natively(self) -> Wiring:
        """Let necks and heads read the stages directly."""
        if self.old.eval_output is not None:
            raise NeedsAdapterError(
                "the old backbone returns fewer maps in evaluation than in training"
            )
        if self.old.class_tokens:
            raise NeedsAdapterError("the old backbone returns a class token with each map")
        if self.part.get("neck"):
            trace = self._trace_or_assume()
            stages, output_stride = self._match(trace.reads)
            levels = self._levels(stages, output_stride)
            result = self._rewire_neck(trace, levels)
            self._rewire_heads_after(trace, result)
            reads = trace.reads
        else:
            heads = find_heads(self.part, self.path, self.scope, self.old.levels)
            for head in heads:
                head.check(self.old.channels)
            reads = _read_by(heads)
            stages, output_stride = self._match(reads)
            channels = {p: self.widths[s] for p, s in zip(reads, stages, strict=True)}
            self._rewire_heads(
                heads, NewMaps(channels, _positions_by_old(reads)), len(self.old.levels)
            )
        return Wiring("native", stages, output_stride, self._strides(reads))

    def wire_adapter(self, reason: str) -> Wiring:
        """Add a first neck that makes the maps of the old backbone."""
        kept = reads = tuple(range(len(self.old.levels)))
        if self.part.get("neck"):
            kept, reads = self._narrow_neck()
        elif self.old.eval_output is None and not self.old.class_tokens:
            kept = reads = self._narrow_heads()
        matched = match_stages(self.old, reads, len(self.widths))
        if matched:
            stages, output_stride = matched
            chosen = list(stages)
        else:
            output_stride = undilated_stride(len(self.widths))
            chosen = choose_sources(self._strides(reads), len(self.widths))
            stages = tuple(range(min(chosen), len(self.widths)))
        source = {p: stages.index(stage) for p, stage in zip(reads, chosen, strict=True)}
        new = self._levels(stages, output_stride)
        adapter: dict[str, Any] = dict(
            type="PyramidAdapter",
            in_channels=[level.channels for level in new],
            in_strides=[level.stride for level in new],
            out_channels=[self.old.channels[p] if p in reads else 0 for p in kept],
            out_strides=list(self._strides(kept)),
            sources=[source.get(p, 0) for p in kept],
        )
        if self.old.eval_output is not None:
            adapter["eval_output"] = self.old.eval_output
        if self.old.class_tokens:
            adapter["class_tokens"] = True
        neck = self.part.get("neck") or []
        necks = list(neck) if isinstance(neck, (list, tuple)) else [neck]
        value = [adapter, *necks] if necks else adapter
        self.edits.set(self.path, self.part, "neck", value, reason)
        return Wiring("adapter", stages, output_stride, self._strides(reads))

    def without_rescaling_neck(self) -> _Model | None:
        """Remove a neck that only makes a pyramid from equal maps; ConvNeXt's stages are one.

        Returns:
            The model without the neck, or None if it has no such neck.
        """
        strides = self.old.strides
        if len(strides) < 2 or len(set(strides)) > 1 or not self.part.get("neck"):
            return None
        try:
            levels = self._trace().outputs
        except NeedsAdapterError:
            return None
        if len({level.stride for level in levels}) < len(levels):
            return None
        why = "it makes a pyramid from equal maps, but the stages are a pyramid already"
        self.edits.set(self.path, self.part, "neck", None, why)
        return replace(self, old=replace(self.old, levels=levels, dilated=False))

    def _trace(self) -> NeckTrace:
        path, neck = first_neck(self.part, self.path)
        try:
            return trace_neck(neck, self.scope, self.old.levels)
        except Exception as error:
            raise NeedsAdapterError(
                f"{path} cannot be tried: {type(error).__name__}: {error}"
            ) from error

    def _trace_or_assume(self) -> NeckTrace:
        """Trace the neck; if it cannot run here, assume from its arguments what it reads."""
        try:
            return self._trace()
        except NeedsAdapterError as reason:
            _, neck = first_neck(self.part, self.path)
            if not neck.get("in_channels"):
                raise
            self.edits.warn(f"{reason}; its new channels were written without a trial")
            first = neck.get("start_level") or 0
            return NeckTrace(tuple(range(first, len(self.old.levels))), outputs=())

    def _match(self, reads: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        matched = match_stages(self.old, reads, len(self.widths))
        if matched is None:
            raise NeedsAdapterError(f"no stages have the strides {self._strides(reads)}")
        return matched

    def _levels(self, stages: tuple[int, ...], output_stride: int) -> tuple[Level, ...]:
        return tuple(Level(self.widths[s], min(4 * 2**s, output_stride)) for s in stages)

    def _rewire_neck(self, trace: NeckTrace, levels: tuple[Level, ...]) -> NeckTrace:
        path, neck = first_neck(self.part, self.path)
        return rewire_neck(path, neck, self.scope, self.old, trace, levels, self.edits)

    def _rewire_heads_after(self, before: NeckTrace, after: NeckTrace) -> None:
        """Rewire the heads if the neck now returns maps with other channels."""
        old, new = ([level.channels for level in trace.outputs] for trace in (before, after))
        if old == new:
            return
        heads = find_heads(self.part, self.path, self.scope, before.outputs)
        for head in heads:
            head.check(tuple(old))
        self._rewire_heads(
            heads,
            NewMaps(dict(enumerate(new)), _positions_by_old(tuple(range(len(new))))),
            len(old),
        )

    def _rewire_heads(self, heads: list[Head], maps: NewMaps, num_old: int) -> None:
        for head in heads:
            head.rewire(self.edits, maps, num_old)

    def _narrow_neck(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Pass a neck only the maps that it reads.

        Returns:
            Positions of the maps that the neck is passed, and of those that it reads.
        """
        everything = tuple(range(len(self.old.levels)))
        try:
            trace = self._trace()
        except NeedsAdapterError:
            return everything, everything
        try:
            self._rewire_neck(trace, tuple(self.old.levels[p] for p in trace.reads))
        except NeedsAdapterError:
            return everything, trace.reads
        return trace.reads, trace.reads

    def _narrow_heads(self) -> tuple[int, ...]:
        """Pass the heads only the maps that they read, and return the positions of these."""
        try:
            heads = find_heads(self.part, self.path, self.scope, self.old.levels)
        except NeedsAdapterError:
            return tuple(range(len(self.old.levels)))
        reads = _read_by(heads)
        maps = NewMaps(dict(enumerate(self.old.channels)), _positions_by_old(reads))
        self._rewire_heads(heads, maps, len(self.old.levels))
        return reads

    def _strides(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.old.strides[p] for p in positions)


def _read_by(heads: list[Head]) -> tuple[int, ...]:
    return tuple(sorted(set().union(*(head.reads for head in heads))))


def _positions_by_old(positions: tuple[int, ...]) -> dict[int, int]:
    return {position: rank for rank, position in enumerate(positions)}
