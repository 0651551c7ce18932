"""Fast paths of the block's parts, each with its plain-torch reference beside it.

``reference`` says what each part computes. ``onednn`` (CPUs) and ``triton`` (CUDA) have functions
of the same names and arguments, which compute the same faster. ``select`` picks one of the three
for a device, a type and a mode; whatever a fast path cannot do runs in plain torch.
"""

from convnext_dense.kernels.autocast import compute_dtype
from convnext_dense.kernels.select import (
    fast_path,
    is_every_call_hooked,
    is_transformed,
    is_untouched,
    plain_torch,
)

__all__ = [
    "compute_dtype",
    "fast_path",
    "is_every_call_hooked",
    "is_transformed",
    "is_untouched",
    "plain_torch",
]
