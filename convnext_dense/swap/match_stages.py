"""Choose the stages of ConvNeXt that replace the maps of another backbone."""

from __future__ import annotations

from collections.abc import Sequence

from convnext_dense.swap.probe import Pyramid

# The default output stride of our backbone, and all that it can have.
DEFAULT_OUTPUT_STRIDE = 32
OUTPUT_STRIDES = (8, 16, DEFAULT_OUTPUT_STRIDE)


def match_stages(
    pyramid: Pyramid, positions: Sequence[int], num_stages: int = 4
) -> tuple[tuple[int, ...], int] | None:
    """Find stages with the strides of some maps of a backbone, in the same order.

    If the backbone is dilated, its last map belongs to the last stage, whatever its stride is. The
    other maps are matched from the deepest stage on: strides 4, 8, 8, 8 are the four stages with an
    output stride of 8.

    Args:
        pyramid: The maps of the old backbone.
        positions: Positions of the maps that are read.
        num_stages: Number of stages of the new backbone.

    Returns:
        A stage for each position, ascending, and the output stride; None if no stages match.

    Example:
        >>> from convnext_dense.swap.probe import Level
        >>> dilated = Pyramid((Level(1024, 8), Level(2048, 8)), dilated=True, ceil=True)
        >>> match_stages(dilated, [0, 1])
        ((2, 3), 8)
    """
    everything = range(len(pyramid.levels))
    if pyramid.dilated:
        output_stride = pyramid.strides[-1]
    else:
        output_stride = undilated_stride(num_stages)
    if pyramid.dilated and output_stride not in OUTPUT_STRIDES:
        return None
    available = [min(4 * 2**stage, output_stride) for stage in range(num_stages)]
    # First match all maps, since those that are read may begin at any stage; if that fails, match
    # only the maps that are read.
    for candidates in (everything, positions):
        stages = _assign([pyramid.strides[p] for p in candidates], available)
        if stages:
            chosen = dict(zip(candidates, stages, strict=True))
            return tuple(chosen[p] for p in positions), output_stride
    return None


def undilated_stride(num_stages: int) -> int:
    """Return the output stride at which no stage is dilated.

    Example:
        >>> undilated_stride(4), undilated_stride(5)
        (32, 64)
    """
    return max(DEFAULT_OUTPUT_STRIDE, 4 * 2 ** (num_stages - 1))


def _assign(strides: list[int], available: list[int]) -> list[int] | None:
    stages: list[int] = []
    stage = len(available)
    for stride in reversed(strides):
        stage = next((s for s in reversed(range(stage)) if available[s] == stride), -1)
        if stage < 0:
            return None
        stages.insert(0, stage)
    return stages


def choose_sources(strides: Sequence[int], num_stages: int = 4) -> list[int]:
    """Choose the stage that an adapter makes each map from.

    This is the stage with the nearest stride. But if there are as many maps as stages, all of one
    stride, as in transformers, the maps are of different depths, and each stage makes one.

    Example:
        >>> choose_sources([2, 4, 64]), choose_sources([16, 16, 16, 16])
        ([0, 0, 3], [0, 1, 2, 3])
    """
    if len(strides) == num_stages and len(set(strides)) == 1:
        return list(range(num_stages))
    return [
        min(range(num_stages), key=lambda stage: abs(stride.bit_length() - 3 - stage))
        for stride in strides
    ]
