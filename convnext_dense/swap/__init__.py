"""Replace the backbone of a detector or segmenter by a ConvNeXt, by rewriting its config."""

from typing import TYPE_CHECKING

from convnext_dense.lazy import load_when_used

if TYPE_CHECKING:
    from convnext_dense.swap.adapter import PyramidAdapter
    from convnext_dense.swap.edits import Change, SwapRefusedError
    from convnext_dense.swap.plan import Swap, plan_swap, swap_backbone

# The choices for arguments of a swap, which command lines need before they load the rest.
RECIPES = ("keep", "convnext")
MODES = ("auto", "native", "adapter")

__all__ = ["Change", "PyramidAdapter", "Swap", "SwapRefusedError", "plan_swap", "swap_backbone"]
__getattr__, __dir__ = load_when_used(
    __name__,
    {
        "Change": ".edits",
        "PyramidAdapter": ".adapter",
        "Swap": ".plan",
        "SwapRefusedError": ".edits",
        "plan_swap": ".plan",
        "swap_backbone": ".plan",
    },
)
