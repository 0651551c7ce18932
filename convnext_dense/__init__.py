"""ConvNeXt V1 and V2 for dense prediction on the OpenMMLab 2.x stack.

Importing this package makes the stack run on today's torch (:mod:`convnext_dense.upstream`) and
registers the backbone, the adapter, the optimizer constructor and the hooks. It needs torch and
mmengine alone.
"""

from convnext_dense import upstream

upstream.install()

from convnext_dense import training  # noqa: E402, F401  registers itself
from convnext_dense.backbone import ConvNeXt  # noqa: E402
from convnext_dense.checkpoints import load_weights  # noqa: E402
from convnext_dense.inference import Predictor  # noqa: E402
from convnext_dense.swap import SwapRefusedError, swap_backbone  # noqa: E402
from convnext_dense.version import __version__  # noqa: E402

__all__ = [
    "ConvNeXt",
    "Predictor",
    "SwapRefusedError",
    "__version__",
    "load_weights",
    "swap_backbone",
]
