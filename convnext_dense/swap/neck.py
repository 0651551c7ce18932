"""Rewrite the first neck of a model for maps with other channels."""

from __future__ import annotations

from collections.abc import Iterator

from convnext_dense.config_tree import type_name
from convnext_dense.swap.heads import WHY_CHANNELS, NeedsAdapterError
from convnext_dense.swap.model import Model
from convnext_dense.swap.probe import Level, NeckTrace, Pyramid, trace_neck


def rewire_neck(model: Model, trace: NeckTrace, new: tuple[Level, ...]) -> NeckTrace:
    """Make the first neck read new maps instead of the old ones that it read.

    The new arguments are tried: the neck must read every new map, and return as many maps as
    before, with the same strides. Only a neck that cannot run here (``trace.outputs`` is empty) is
    rewritten without a trial.

    Args:
        model: The model.
        trace: What the neck does with the maps of the old backbone.
        new: The new maps, one for each of ``trace.reads``.

    Returns:
        What the neck does with the new maps.

    Raises:
        NeedsAdapterError: If all ways to write the new channels fail the trial.
    """
    path, neck = model.first_neck
    tried = []
    for values in _candidates(neck, model.old, trace, tuple(level.channels for level in new)):
        try:
            result = trace_neck({**neck, **values}, model.scope, new) if trace.outputs else trace
        except Exception as error:
            tried.append(f"{values}: {type(error).__name__}: {error}")
            continue
        if trace.outputs and len(result.reads) < len(new):
            tried.append(f"{values}: it reads only the maps {result.reads}")
        elif _strides(result) != _strides(trace):
            tried.append(f"{values}: its strides are {_strides(result)}, not {_strides(trace)}")
        else:
            for key, value in values.items():
                why = WHY_CHANNELS if "channels" in key else "the stages that it read are the first"
                model.edits.set(path, neck, key, value, why)
            return result
    raise NeedsAdapterError(
        f"{path} ({type_name(neck)}) does not accept other channels"
        + (f"; tried {'; '.join(tried)}" if tried else "")
    )


def _candidates(
    neck: dict, old: Pyramid, trace: NeckTrace, channels: tuple[int, ...]
) -> Iterator[dict]:
    stated = neck.get("in_channels")
    if stated is None:
        if not trace.learns:
            yield {}
    elif not isinstance(stated, (list, tuple)):
        if [stated] == [old.channels[p] for p in trace.reads]:
            yield dict(in_channels=channels[0])
    else:
        kind, before = type(stated), list(old.channels)
        if list(stated) == before[::-1] and before != before[::-1]:
            yield dict(in_channels=kind(channels[::-1]))
        elif list(stated) in (before, before[-len(stated) :]):
            yield dict(in_channels=kind(channels), **_shifted(neck, len(stated) - len(channels)))
            # SSD's neck returns its inputs too, and lists them among its outputs.
            passed = neck.get("out_channels")
            if isinstance(passed, (list, tuple)) and list(passed[: len(before)]) == before:
                yield dict(
                    in_channels=kind(channels),
                    out_channels=type(passed)((*channels, *passed[len(before) :])),
                )


def _shifted(neck: dict, dropped: int) -> dict:
    """Return the levels of a neck counted from the first map that is read and so is built."""
    return {
        key: neck[key] - dropped
        for key in ("start_level", "end_level")
        if dropped and isinstance(neck.get(key), int) and neck[key] > 0
    }


def _strides(trace: NeckTrace) -> list[int]:
    return [level.stride for level in trace.outputs]
