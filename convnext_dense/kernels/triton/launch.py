"""How kernels are started: on the tensors' device, over tiles, with sums in a fixed order.

Triton compiles a kernel anew for each set of arguments that are 1, or multiples of 16, or neither.
The kernels ask it not to for the sizes of a map, which change from image to image. For the number
of channels it does, since it can then load vectors of them.
"""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor

from convnext_dense.kernels.autocast import autocast_dtype

# Programs that fill a GPU a few times over. Kernels that add up rows have about this many, and each
# leaves one partial sum, which torch then adds: atomics would add in another order each time.
_PROGRAMS = 2048
_TILE_COLUMNS = 128
# Elements of a tile, 16 per thread of 4 warps.
_TILE = 2048


class launching:
    """Launch kernels on a tensor's device, whichever is current, and without autocast.

    A context manager. On small maps a GPU waits for the Python before a launch, and torch.autocast
    inside of a generator with contextlib's decorator takes longer than the launch; hence a class,
    which sets autocast's switch itself.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._device = torch.cuda.device_of(tensor)
        self._type = tensor.device.type

    def __enter__(self) -> None:
        self._device.__enter__()
        self._autocast = autocast_dtype(self._type) is not None
        if self._autocast:
            torch.set_autocast_enabled(self._type, False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._autocast:
            torch.set_autocast_enabled(self._type, True)
        self._device.__exit__(kind, error, traceback)


def cdiv(a: int, b: int) -> int:
    """Divide and round up. Triton's own makes constants of its arguments, in microseconds."""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """Return the smallest power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length()


def column_tile(columns: int) -> tuple[int, int]:
    """Return the rows and columns of an elementwise kernel's tile, powers of two.

    The columns divide those of the matrix where they can, so that no thread idles.
    """
    divisor = columns & -columns
    width = min(max(divisor, 32), _TILE_COLUMNS)
    return _TILE // width, width


def row_tile(columns: int) -> int:
    """Return the rows of a tile that holds whole rows."""
    return max(1, _TILE // next_power_of_2(columns))


def strips(rows: int, tile_rows: int, neighbours: int) -> tuple[int, int]:
    """Cut rows into strips, one for each program.

    Args:
        rows: Rows in all; 0 gives no strip.
        tile_rows: Rows that a program takes at a time.
        neighbours: Programs that share a strip, each for its columns.

    Returns:
        Number of strips, and the rows of each: whole tiles, and at least one of them.
    """
    tiles = cdiv(rows, tile_rows)
    per_strip = max(1, cdiv(tiles * neighbours, _PROGRAMS))
    return cdiv(tiles, per_strip), per_strip * tile_rows
