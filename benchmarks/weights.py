"""Measure the memory and time that loading published weights takes beyond the model itself.

Of the time, that for the damage that a file's own checksums tell, and for the hash of the report.

    python benchmarks/weights.py [--arch xlarge]

Each load runs in a process of its own, into a model whose memory is already in use. The peak counts
every page in memory, those of the mapped file among them, which the system can take back. Linux.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from processes import in_own_process

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.backbone import ARCHS
from convnext_dense.checkpoints.convert import convert
from convnext_dense.download import sha256_of
from convnext_dense.upstream.checkpoint_damage import find_damage

FILES = {
    "meta .pth": ("meta", "meta.pth"),
    "mmpretrain .pth": ("mmpretrain", "mmpretrain.pth"),
    "torchvision .pth": ("torchvision", "torchvision.pth"),
    "timm .safetensors": ("timm", "timm.safetensors"),
    "transformers .safetensors": ("transformers", "transformers.safetensors"),
}
GOAL = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="xlarge", choices=ARCHS, help="default: xlarge")
    arch = parser.parse_args().arch
    print(f"torch {torch.__version__}, arch {arch}, into a model of float32")
    columns = f"{'size, MB':>10}{'extra, MB':>11}{'ratio':>7}{'load, s':>9}{'CRC, s':>8}"
    print(f"{'file':<28}{columns}{'SHA-256, s':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for title, (to, name) in FILES.items():
            if ARCHS[arch].grn and to == "torchvision":
                continue
            path = Path(folder) / name
            in_own_process(write, arch, path, to)
            size = path.stat().st_size / 1e6
            extra, seconds = in_own_process(load, arch, path)
            checks = in_own_process(time_checks, path)
            ratio = extra / size
            row = f"{title:<28}{size:>10.0f}{extra:>11.0f}{ratio:>7.2f}{seconds:>9.2f}"
            row += f"{checks[0]:>8.2f}{checks[1]:>12.2f}"
            print(row + ("" if ratio <= GOAL else f"  more than {GOAL}"))
            path.unlink()


def write(arch: str, path: Path, to: str) -> None:
    convert(build(arch).state_dict(), path, to)


def load(arch: str, path: Path) -> tuple[float, float]:
    """Return the peak memory on top of the model, in MB, and the time."""
    MMLogger.get_instance("benchmark", log_level="ERROR")
    net = build(arch)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start = time.perf_counter()
    load_weights(net, path)
    return status("VmHWM") - before, time.perf_counter() - start


def time_checks(path: Path) -> tuple[float, float]:
    """Return the seconds that the comparison of checksums takes, and the file's hash."""
    start = time.perf_counter()
    find_damage(path)
    middle = time.perf_counter()
    sha256_of(path)
    return middle - start, time.perf_counter() - middle


def build(arch: str) -> ConvNeXt:
    with torch.device("meta"):
        net = ConvNeXt(arch)
    net = net.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.1)
    return net


def status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(key)


if __name__ == "__main__":
    main()
