"""Models that are gone leave the process able to take a signal."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Loads two models, drops them in the order of their loading, and is interrupted.
PROGRAM = """
import signal, sys
from convnext_dense_runtime import Model
models = [Model(sys.argv[1], backend=sys.argv[2]) for _ in range(2)]
del models[0]
del models[0]
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_control_c_after_two_models(segmenter_file, backend):
    pytest.importorskip(backend)
    command = [sys.executable, "-c", PROGRAM, str(segmenter_file), backend]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
