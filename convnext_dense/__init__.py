"""ConvNeXt V1 and V2 for dense prediction on the OpenMMLab 2.x stack.

Importing this package registers what configs name of it: the backbone, the adapter, the optimizer
constructor, the hooks and the storage of checkpoints. Each is imported when it is built, and the
public names when they are used, so that importing costs little and needs mmengine alone. It lets
``mmcv.ops`` be imported where mmcv is lite, and changes nothing else: :func:`enable` does.
"""

from typing import TYPE_CHECKING

from convnext_dense import registry, upstream  # noqa: F401  the first registers our names
from convnext_dense.lazy import load_when_used
from convnext_dense.patches import enable
from convnext_dense.training import atomic_backend  # noqa: F401  registers itself
from convnext_dense.version import __version__

if TYPE_CHECKING:
    from convnext_dense.backbone.convnext import ConvNeXt
    from convnext_dense.checkpoints.load import load_weights
    from convnext_dense.inference.predictor import Predictor
    from convnext_dense.swap.edits import SwapRefusedError
    from convnext_dense.swap.plan import swap_backbone

upstream.install_at_import()

__all__ = [
    "ConvNeXt",
    "Predictor",
    "SwapRefusedError",
    "__version__",
    "enable",
    "load_weights",
    "swap_backbone",
]
__getattr__, __dir__ = load_when_used(
    __name__,
    {
        "ConvNeXt": ".backbone.convnext",
        "Predictor": ".inference.predictor",
        "SwapRefusedError": ".swap.edits",
        "load_weights": ".checkpoints.load",
        "swap_backbone": ".swap.plan",
        # Rooms that users call by their names.
        "backbone": ".backbone",
        "kernels": ".kernels",
        "swap": ".swap",
        "training": ".training",
    },
)
