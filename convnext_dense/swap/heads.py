"""Find the heads that read the backbone's maps, and write new channels into their configs.

The channels that a head states must equal those of the maps that it is supposed to read. If they
differ, this module has misunderstood the head: :class:`NeedsAdapterError` is raised, and no channel
is guessed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from convnext_dense.config_tree import type_name
from convnext_dense.swap.edits import Edits
from convnext_dense.swap.probe import Level, trace_head

WHY_CHANNELS = "channels of ConvNeXt's stages"
WHY_INDEX = "position among the stages that are built"
HEADS = (
    "decode_head", "auxiliary_head", "rpn_head", "bbox_head", "mask_head", "panoptic_head",
    "semantic_head", "track_head", "head",
)  # fmt: skip
# A head of mmseg that names no index reads the last map.
MMSEG_DEFAULT_INDEX = -1


class NeedsAdapterError(Exception):
    """Maps cannot be replaced by maps with other channels; the message says why."""


@dataclass(frozen=True)
class Head:
    """A head that reads maps by the keys ``in_channels`` and, in mmseg, ``in_index``.

    Attributes:
        path: Its dotted key in the config.
        cfg: Its dict.
        key: The key that holds the channels.
        positions: Positions of the maps that it states, in its order.
        kept: Those in ``positions`` that it really reads.
        extra: Position of a further map and the key of its channels (DeepLabV3+'s first stage).
    """

    path: str
    cfg: dict
    key: str
    positions: tuple[int, ...]
    kept: tuple[int, ...]
    extra: tuple[int, str] | None = None

    @property
    def reads(self) -> set[int]:
        """The positions of all maps that the head reads."""
        return {*self.kept, *([self.extra[0]] if self.extra else [])}

    def check(self, channels: tuple[int, ...]) -> None:
        """Raise NeedsAdapterError unless the config states the channels of the old maps."""
        stated = self.cfg.get(self.key)
        held = [channels[p] for p in self.positions]
        if isinstance(stated, (list, tuple)):
            agrees = list(stated) == held
        else:
            agrees = stated == sum(held)  # of one map, or of all that it concatenates
        if self.extra and self.cfg[self.extra[1]] != channels[self.extra[0]]:
            agrees = False
        if not agrees:
            raise NeedsAdapterError(
                f"{self.path}.{self.key} is {stated!r}, but the maps have {held}"
            )

    def rewire(self, edits: Edits, channels: Mapping[int, int], num_old: int) -> None:
        """Write channels and positions of the new maps.

        Args:
            edits: Records the changes.
            channels: Channels of the new maps in their order, by the positions of the old ones.
            num_old: The number of old maps.
        """
        self._reindex(edits, list(channels), num_old)
        stated = self.cfg[self.key]
        if isinstance(stated, (list, tuple)):
            value: list | tuple | int = type(stated)(channels[p] for p in self.kept)
        else:
            value = sum(channels[p] for p in self.positions)
        if self.cfg.get("num_convs") == 0 and self.cfg.get("channels") == stated:
            edits.set(self.path, self.cfg, "channels", value, "without convs, equal to in_channels")
        edits.set(self.path, self.cfg, self.key, value, WHY_CHANNELS)
        if self.extra:
            position, key = self.extra
            edits.set(self.path, self.cfg, key, channels[position], WHY_CHANNELS)

    def _reindex(self, edits: Edits, built: list[int], num_old: int) -> None:
        """Write the positions among the maps that are built, given by their old positions."""
        stated = self.cfg.get("in_index", MMSEG_DEFAULT_INDEX)
        if "in_index" not in self.cfg and num_old - 1 in built:
            return  # it still reads the last map

        def moved(index: int) -> int:
            new = built.index(index % num_old)
            return index if index < 0 and index % len(built) == new else new

        if isinstance(stated, (list, tuple)):
            value: list | tuple | int = type(stated)(
                moved(i) for i in stated if i % num_old in self.kept
            )
        else:
            value = moved(stated)
        edits.set(self.path, self.cfg, "in_index", value, WHY_INDEX)


class FollowingHead(Head):
    """A head that asks the backbone for its channels, as those of transformers do."""

    def check(self, channels: tuple[int, ...]) -> None:
        """Agree: the config states nothing."""

    def rewire(self, edits: Edits, channels: Mapping[int, int], num_old: int) -> None:
        """Leave the config as it is."""


def find_heads(part: dict, path: str, scope: str, levels: tuple[Level, ...]) -> list[Head]:
    """List the heads of a model that read the maps of its backbone or neck.

    Args:
        part: The dict that holds the backbone.
        path: Its dotted key.
        scope: ``mmdet`` or ``mmseg``, whose heads select their maps in different ways.
        levels: The maps.

    Raises:
        NeedsAdapterError: If a head does not state which maps it reads.
    """
    heads = []
    everything = tuple(range(len(levels)))
    if type_name(part).startswith("Transformers"):
        return [FollowingHead(f"{path}.head", part["head"], "", everything, everything)]
    for head_path, head in _heads(part, path):
        if scope == "mmseg" and ("in_index" in head or not _lists_channels(head)):
            heads.append(_mmseg_head(head_path, head, levels))
        elif _lists_channels(head) or len(levels) == 1:
            heads.append(Head(head_path, head, _channels_key(head), everything, everything))
        else:
            raise NeedsAdapterError(
                f"{head_path} ({type_name(head)}) does not say which maps it reads"
            )
    if "roi_head" in part:
        heads += _roi_heads(part["roi_head"], f"{path}.roi_head")
    if not heads:
        raise NeedsAdapterError("no head says which maps it reads")
    return heads


def _heads(part: dict, path: str) -> Iterator[tuple[str, dict]]:
    for key in HEADS:
        value = part.get(key)
        listed = value if isinstance(value, (list, tuple)) else [value]
        for i, head in enumerate(listed):
            if isinstance(head, dict):
                where = f"{path}.{key}" if head is value else f"{path}.{key}.{i}"
                if "kernel_generate_head" in head:
                    # K-Net: only this inner head reads maps of the backbone.
                    yield f"{where}.kernel_generate_head", head["kernel_generate_head"]
                else:
                    yield where, head


def _lists_channels(head: dict) -> bool:
    return isinstance(head.get("in_channels"), (list, tuple))


def _channels_key(head: dict) -> str:
    if "in_channels" not in head:
        raise NeedsAdapterError(f"{type_name(head)} has no in_channels")
    return "in_channels"


def _mmseg_head(path: str, head: dict, levels: tuple[Level, ...]) -> Head:
    index = head.get("in_index", MMSEG_DEFAULT_INDEX)
    listed = isinstance(index, (list, tuple))
    positions = tuple(i % len(levels) for i in (index if listed else [index]))
    extra = (0, "c1_in_channels") if head.get("c1_in_channels") else None
    kept = positions
    if listed and _lists_channels(head):
        # EncNet's head lists maps that it reads only with certain options.
        with contextlib.suppress(Exception):  # if it cannot run alone, assume that it reads all
            read = trace_head(head, levels)
            kept = tuple(p for p in positions if p in read) or positions
    return Head(path, head, _channels_key(head), positions, kept, extra)


def _roi_heads(roi_head: dict, path: str) -> list[Head]:
    """List the parts of a RoI head without a neck that read the one map (C4, DC5)."""
    if "shared_head" in roi_head:
        raise NeedsAdapterError(f"{path}.shared_head is a stage of the old network")
    heads = []
    for key, value in roi_head.items():
        if key.endswith("_roi_extractor"):
            heads.append(Head(f"{path}.{key}", value, "out_channels", (0,), (0,)))
        elif key in HEADS:
            several = value if isinstance(value, (list, tuple)) else [value]
            heads += [Head(f"{path}.{key}", head, "in_channels", (0,), (0,)) for head in several]
    return heads
