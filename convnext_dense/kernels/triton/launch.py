"""How kernels are started: on the tensors' device, over tiles, with sums in a fixed order.

Triton compiles a kernel anew for each set of arguments that are 1, or multiples of 16, or neither.
The kernels ask it not to for the sizes of a map, which change from image to image. For the number
of channels it does, since it can then load vectors of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import triton
from torch import Tensor

# Programs that fill a GPU a few times over. Kernels that add up rows have about this many, and each
# leaves one partial sum, which torch then adds: atomics would add in another order each time.
_PROGRAMS = 2048
_TILE_COLUMNS = 128
# Elements of a tile, 16 per thread of 4 warps.
_TILE = 2048


@contextmanager
def launching(tensor: Tensor) -> Iterator[None]:
    """Launch on a tensor's device, whichever is current, and with types as they are given."""
    with torch.cuda.device_of(tensor), torch.autocast(tensor.device.type, enabled=False):
        yield


def column_tile(columns: int) -> tuple[int, int]:
    """Give the rows and columns of an elementwise kernel's tile, powers of two.

    The columns divide those of the matrix where they can, so that no thread idles.
    """
    divisor = columns & -columns
    width = min(max(divisor, 32), _TILE_COLUMNS)
    return _TILE // width, width


def row_tile(columns: int) -> int:
    """Give the rows of a tile that holds whole rows."""
    return max(1, _TILE // triton.next_power_of_2(columns))


def strips(rows: int, tile_rows: int, neighbours: int) -> tuple[int, int]:
    """Cut rows into strips, one for each program.

    Args:
        rows: Rows in all; 0 gives no strip.
        tile_rows: Rows that a program takes at a time.
        neighbours: Programs that share a strip, each for its columns.

    Returns:
        Number of strips, and the rows of each: whole tiles, and at least one of them.
    """
    tiles = triton.cdiv(rows, tile_rows)
    per_strip = max(1, triton.cdiv(tiles * neighbours, _PROGRAMS))
    return triton.cdiv(tiles, per_strip), per_strip * tile_rows
