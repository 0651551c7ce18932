"""Fast paths on CPUs, over the fused products of oneDNN that torch brings.

Torch's float32 products go to another library, which on some processors reaches half of oneDNN's
rate. The operators are private to torch: they are probed for, and plain torch runs without them.
"""

from convnext_dense.kernels.onednn.depthwise import conv_norm
from convnext_dense.kernels.onednn.grn_mlp import grn_mlp
from convnext_dense.kernels.onednn.linear import available
from convnext_dense.kernels.onednn.mlp import mlp

__all__ = ["available", "conv_norm", "grn_mlp", "mlp"]
