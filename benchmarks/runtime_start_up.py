"""Measure what the runtime adds to ONNX Runtime's own start, up to the first result.

    python benchmarks/runtime_start_up.py model.onnx photo.jpg [--rounds 10]

Each sample is a process of its own, user and system time added up; both take turns, and the least
of each counts, since nothing but noise adds to it. One loads the model and runs it on zeros of the
size that the picture gets; the other is the runtime, which also reads the picture and returns its
results. Ends with status 1 where the runtime takes over half a second more.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

from processes import cpu_seconds

from convnext_dense_runtime import Model

LIMIT = 0.5  # CPU seconds
ALONE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
shape = [int(side) for side in sys.argv[3].split(",")]
session.run(None, {"image": numpy.zeros(shape, numpy.float32)})
"""
RUNTIME = """
import sys
from convnext_dense_runtime import Model
Model(sys.argv[1], device="cpu")(sys.argv[2])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")
    args = parser.parse_args()
    model = Model(args.model)
    shape = (1, *model.prepare(model.read(args.picture)).shape)
    argv = str(args.model), str(args.picture), ",".join(map(str, shape))
    least = {ALONE: float("inf"), RUNTIME: float("inf")}
    for _ in range(args.rounds):
        for program in least:
            took = cpu_seconds([sys.executable, "-c", program, *argv])
            least[program] = min(least[program], took)
    alone, ours = least.values()
    print(f"onnxruntime {version('onnxruntime')}, input {shape}, least of {args.rounds} processes")
    print(f"ONNX Runtime alone {alone:.2f} s, the runtime {ours:.2f} s: {ours - alone:+.2f} s")
    return int(ours - alone > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
