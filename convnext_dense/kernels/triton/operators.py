"""The fast paths under the names that ``convnext_dense.kernels.reference`` gives them."""

from convnext_dense.kernels.triton.conv_norm import conv_norm
from convnext_dense.kernels.triton.mlp import grn_mlp, mlp

__all__ = ["conv_norm", "grn_mlp", "mlp"]
