"""Fast paths of the block's two halves, each with its plain-torch reference beside it.

``reference`` says what each half computes. ``onednn`` (CPUs) and ``triton.operators`` (CUDA) have
functions of the same names and arguments, which compute the same faster. ``select`` picks one of
them for a device, a type and a mode; whatever a fast path cannot do runs in plain torch.
"""

from convnext_dense.kernels.autocast import compute_dtype
from convnext_dense.kernels.packed_weights import PackedWeights, forget_packed_weights
from convnext_dense.kernels.parameters import BlockFunctions, ConvNormParameters, MLPParameters
from convnext_dense.kernels.select import (
    fast_path,
    is_every_call_hooked,
    is_transformed,
    is_untouched,
    plain_torch,
)

__all__ = [
    "BlockFunctions",
    "ConvNormParameters",
    "MLPParameters",
    "PackedWeights",
    "compute_dtype",
    "fast_path",
    "forget_packed_weights",
    "is_every_call_hooked",
    "is_transformed",
    "is_untouched",
    "plain_torch",
]
