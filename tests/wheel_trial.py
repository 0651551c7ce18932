"""Try an installed ``convnext-dense`` as a newcomer would; ``make dist`` calls it for the wheel.

Called as ``wheel_trial.py DIST``: checks the archives in a folder, installs the wheel where nothing
else is, and runs it in an empty folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECIPE = "cascade_convnext_atto_shapes"
CLASSES = ["--classes", "circle,square,triangle,star,ring"]
SETTINGS = ["--data-root", "shapes", *CLASSES]
SETTINGS += ["--ann-train", "annotations/instances_train.json"]
SETTINGS += ["--ann-val", "annotations/instances_val.json", "--img-size", "64"]
LENGTH = ["--iters", "2", "--batch-size", "2", "--workers", "0"]
# Each makes what the next needs.
COMMANDS = (
    ["data", "shapes", "shapes", "--train", "4", "--val", "1", "--size", "96"],
    ["train", RECIPE, *SETTINGS, *LENGTH, "--work-dir", "run"],
    ["test", RECIPE, "run/iter_2.pth", *SETTINGS, "--work-dir", "tested", "--out", "found.json"],
    ["infer", RECIPE, "run/iter_2.pth", "shapes/val", *CLASSES, "--score", "0"],
)
LEFT = ("run/iter_2.pth", "tested/metrics.json", "found.json", "predictions/pictures")


def try_commands(program: Path, folder: Path) -> None:
    """Run the commands in an empty folder, and check that they left their results.

    Raises:
        AssertionError: If one fails.
    """
    # Nothing of a checkout may be found.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in COMMANDS:
        done = subprocess.run(
            [program, *command], cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert [name for name in LEFT if not (folder / name).exists()] == []


def check_contents(names: Iterable[str]) -> None:
    """Check the names of the files in a wheel, or in an archive of the sources without its folder.

    Raises:
        AssertionError: If one is missing, or one is there that should not be.
    """
    names = set(names)
    recipes = {f"convnext_dense/.mim/{path.relative_to(ROOT)}" for path in files("configs", "*.py")}
    code = {str(path.relative_to(ROOT)) for path in files("convnext_dense", "*.py")}
    pages = {f"convnext_dense/report/{name}" for name in ("page.html", "style.css")}
    wanted = {*recipes, *code, *pages, "convnext_dense/.mim/model-index.yml"}
    assert wanted - names == set()
    inside = {name for name in names if name.startswith("convnext_dense/")}
    assert {name for name in inside - wanted if not name.endswith((".html", ".css"))} == set()
    assert not [name for name in names if name.startswith(("tests/", "tools/", "benchmarks/"))]


def files(folder: str, pattern: str) -> list[Path]:
    """List the files of a folder of the repository."""
    return [path for path in (ROOT / folder).rglob(pattern) if "__pycache__" not in path.parts]


def main(dist: Path) -> None:
    """Check and try what ``make dist`` has built."""
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        check_contents(archive.namelist())
    with tarfile.open(source) as archive:
        kept = [member.name for member in archive.getmembers() if member.isfile()]
        check_contents(name.partition("/")[2] for name in kept)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "venv")
        venv.create(place, with_pip=True)
        pip = [place / "bin" / "python", "-m", "pip", "--quiet"]
        pinned = ["install", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *pinned, "torch", "setuptools"], check=True)
        subprocess.run([*pip, *pinned, f"{wheel.resolve()}[lite]"], check=True)
        # A server without a display lacks what OpenCV's windows need.
        if subprocess.run([pip[0], "-c", "import cv2"], capture_output=True).returncode:
            subprocess.run([*pip, "uninstall", "--yes", "opencv-python"], check=True)
            subprocess.run([*pip, *pinned, "opencv-python-headless"], check=True)
        empty = Path(folder, "empty")
        empty.mkdir()
        try_commands(place / "bin" / "convnext-dense", empty)
    print(f"{wheel.name}: made data, trained, tested and predicted where nothing else is installed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
