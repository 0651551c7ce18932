"""The module ``convnext_dense_runtime`` under a second name."""

import sys

import convnext_dense_runtime

sys.modules[__name__] = convnext_dense_runtime
