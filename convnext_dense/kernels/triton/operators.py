"""The fast path on CUDA: the functions of ``convnext_dense.kernels.reference``, in Triton."""

from convnext_dense.kernels.triton.conv_norm import conv_norm
from convnext_dense.kernels.triton.mlp import mlp

__all__ = ["conv_norm", "mlp"]
