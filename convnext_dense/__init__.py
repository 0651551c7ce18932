"""ConvNeXt V1 and V2 for dense prediction on the OpenMMLab 2.x stack.

Importing this package registers the classes that configs can name: the backbone, the adapter, the
optimizer constructor, the hooks and the storage of checkpoints. A class is imported when it is
built, and a public name when it is used, so that importing the package is fast and needs only
mmengine. The import also makes ``mmcv.ops`` importable if mmcv is the lite version. It changes
nothing else; :func:`enable` applies the other patches.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from convnext_dense import upstream
from convnext_dense.lazy import load_when_used
from convnext_dense.patches import enable
from convnext_dense.version import __version__

# Without an extra it is missing: a name that is used, or a command, then says what to install.
if find_spec("mmengine"):
    from convnext_dense import registry  # noqa: F401  registers our names
    from convnext_dense.training import atomic_backend  # noqa: F401  registers itself

if TYPE_CHECKING:
    from convnext_dense.backbone.convnext import ConvNeXt
    from convnext_dense.backbone.resnet_to_convnext import ResNetToConvNeXt
    from convnext_dense.checkpoints.load import load_weights
    from convnext_dense.inference.predictor import Predictor
    from convnext_dense.swap.edits import SwapRefusedError
    from convnext_dense.swap.plan import swap_backbone

upstream.install_at_import()

__all__ = [
    "ConvNeXt",
    "Predictor",
    "ResNetToConvNeXt",
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
        "ResNetToConvNeXt": ".backbone.resnet_to_convnext",
        "SwapRefusedError": ".swap.edits",
        "load_weights": ".checkpoints.load",
        "swap_backbone": ".swap.plan",
        # Packages that users access as attributes.
        "backbone": ".backbone",
        "kernels": ".kernels",
        "swap": ".swap",
        "training": ".training",
    },
)
