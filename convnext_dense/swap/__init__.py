"""Put a ConvNeXt under an existing detector or segmenter by rewiring its config."""

from convnext_dense.swap.adapter import PyramidAdapter
from convnext_dense.swap.edits import Change, SwapRefusedError
from convnext_dense.swap.plan import Swap, plan_swap, swap_backbone

__all__ = ["Change", "PyramidAdapter", "Swap", "SwapRefusedError", "plan_swap", "swap_backbone"]
