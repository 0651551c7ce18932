"""Measure what importing the package, and asking a tool for help, costs in CPU time.

    python benchmarks/start_up.py [--rounds 10]

Each sample is a process of its own, user and system time added up; all take turns, and the least of
each counts, since nothing but noise adds to it. What a process has loaded is asked once more, apart
from the times. Ends with status 1 where a limit is not met.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from processes import cpu_seconds

ROOT = Path(__file__).parents[1]
TINY_COCO = ROOT / "tests" / "evaluation" / "tiny_coco"
# CPU seconds.
LIMIT = 0.5
# Of the backbone, to what it stands on.
MOST_RATIO = 1.05
BASE = "import torch; from mmengine.model import BaseModule"
# Runs a tool in this process, and says last whether torch was loaded.
TOOL = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
print("torch" in sys.modules)
"""


@dataclass(frozen=True)
class Case:
    """What is run.

    Attributes:
        title: How the table calls it.
        command: Code where it is one text, else a tool and its arguments.
        status: What it exits with.
        limit: CPU seconds that it may take, and without torch; None: any.
        ratio: What it may take of what :data:`BASE` takes; None: any.
    """

    title: str
    command: str | tuple[str, ...]
    status: int = 0
    limit: float | None = None
    ratio: float | None = None

    def seconds(self) -> float:
        """Return the CPU time of one process."""
        command = ("-c", self.command) if isinstance(self.command, str) else self.command
        silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return cpu_seconds([sys.executable, *command], self.status, cwd=ROOT, **silent)

    def loads_torch(self) -> bool:
        """Return whether torch is loaded at the end."""
        if isinstance(self.command, str):
            command = ["-c", f"{self.command}; import sys; print('torch' in sys.modules)"]
        else:
            command = ["-c", TOOL, *self.command]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.split()[-1] == "True"

    def verdict(self, seconds: float, base: float, has_torch: bool) -> str:
        """Return whether its limits are met, as text; empty if it has none."""
        if self.limit is None and self.ratio is None:
            return ""
        met = (self.limit is None or (seconds <= self.limit and not has_torch)) and (
            self.ratio is None or seconds <= self.ratio * base
        )
        limit = f"{self.limit:.2f} s, no torch" if self.limit else f"{self.ratio:.2f} of BaseModule"
        return f"{limit}: {'met' if met else 'NOT MET'}"


def cases() -> list[Case]:
    """Return what is measured, what it is compared with first."""
    tools = sorted(path.relative_to(ROOT) for path in (ROOT / "tools").glob("*.py"))
    files = str(TINY_COCO / "results.json"), str(TINY_COCO / "annotations.json")
    coco = ("tools/evaluate.py", "coco", *files, "--backend", "pycocotools")
    return [
        Case(BASE, BASE),
        Case("import torch", "import torch"),
        Case("import mmengine.registry", "import mmengine.registry"),
        Case("import convnext_dense", "import convnext_dense", limit=LIMIT),
        Case(
            "from convnext_dense import ConvNeXt",
            "from convnext_dense import ConvNeXt",
            ratio=MOST_RATIO,
        ),
        *(Case(f"{tool} --help", (str(tool), "--help"), limit=LIMIT) for tool in tools),
        *(Case(f"{tool} --wrong", (str(tool), "--wrong"), 2, limit=LIMIT) for tool in tools),
        Case("tools/evaluate.py coco, 3 images", coco, limit=LIMIT),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "mmengine"))
    print(f"Python {platform.python_version()}, {names}; least of {rounds} processes each")
    measured = cases()
    least = dict.fromkeys(measured, float("inf"))
    for _ in range(rounds):
        for case in measured:
            least[case] = min(least[case], case.seconds())
    base = least[measured[0]]
    print(f"{'':<52}{'CPU, s':>8}{'ratio':>7}{'torch':>7}  limit")
    verdicts = []
    for case, seconds in least.items():
        has_torch = case.loads_torch()
        verdicts.append(case.verdict(seconds, base, has_torch))
        print(
            f"{case.title:<52}{seconds:>8.2f}{seconds / base:>7.2f}"
            f"{'yes' if has_torch else 'no':>7}  {verdicts[-1]}".rstrip()
        )
    return any("NOT" in verdict for verdict in verdicts)


if __name__ == "__main__":
    sys.exit(main())
