"""Fast paths on CPUs, over the fused products of oneDNN that torch brings.

Torch's float32 products go to another library, which on some processors reaches half of oneDNN's
rate. The operators are private to torch: they are tried out once, and where they are missing plain
torch runs.
"""

import torch
from torch import Tensor

from convnext_dense.kernels.onednn.depthwise import conv_norm
from convnext_dense.kernels.onednn.linear import available
from convnext_dense.kernels.onednn.mlp import mlp

__all__ = ["available", "conv_norm", "is_worthwhile", "mlp"]

# Positions of a map times the square of its channels, the same in all stages of a network. Below, a
# call of oneDNN costs more than it saves; plain torch has casts to make up for in bfloat16.
_SMALLEST = {torch.float32: 2_000_000, torch.bfloat16: 300_000}


def is_worthwhile(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether a map is large enough to be faster here than in plain torch.

    Args:
        x: What a block is given, (N, C, H, W).
        dtype: The type that the block computes in.
    """
    return x.numel() * x.shape[1] >= _SMALLEST[dtype]
