"""Fast paths on CUDA: Triton kernels for what moves memory, cuBLAS for the products.

``operators`` has the functions; importing it imports Triton. Ask :func:`available` first.
"""

from convnext_dense.kernels.triton.probe import available

__all__ = ["available"]
