"""Where the kernels' own tests run: on a GPU, or else under Triton's interpreter."""

from __future__ import annotations

import os

import torch

# The interpreter is chosen once, before Triton is imported, for the whole process. Without a GPU
# test_interpreted.py starts one of its own for these files.
NEED_TRITON = ("test_conv_norm.py", "test_layer_norm.py", "test_mlp.py", "test_block.py")
RUNS = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"

collect_ignore = [] if RUNS else NEED_TRITON
