"""Try an installed ``convnext-dense`` as a newcomer would; ``make dist`` calls it for the wheels.

Called as ``wheel_trial.py DIST``: checks the archives in a folder, installs the wheels where
nothing else is, and runs them in an empty folder; then the runtime alone, without torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
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
# What `make dist` does too: it takes what the commands left, and the extra `export`.
EXPORT = (
    ["export", f"run/{RECIPE}.py", "run/iter_2.pth", "-o", "model.onnx"],
    ["infer", "model.onnx", "shapes/val", "--score", "0", "--save", "json", "-o", "exported"],
)
RUNTIME = """
import json, sys
from pathlib import Path
from convnext_dense_runtime import Model

(found,) = Model("model.onnx")("shapes/val/000000.jpg")
(said,) = Path("exported/json").iterdir()
assert len(found) == len(json.loads(said.read_text())["scores"]) > 0
assert found.masks.shape == (len(found), 96, 96)
assert not {"torch", "mmengine", "mmcv", "cv2"} & set(sys.modules)
"""
LEFT = ("run/iter_2.pth", "tested/metrics.json", "found.json", "predictions/pictures")


def try_commands(program: Path, folder: Path) -> None:
    """Run the commands in an empty folder, and check that they left their results.

    Raises:
        AssertionError: If one fails.
    """
    for command in COMMANDS:
        run([program, *command], folder)
    assert [name for name in LEFT if not (folder / name).exists()] == []


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a folder, and return what it wrote.

    Raises:
        AssertionError: If it fails.
    """
    # Nothing of a checkout may be found.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def check_runtime_contents(names: Iterable[str]) -> None:
    """Check the names of the files in the runtime's wheel, or in its archive without its folder.

    Raises:
        AssertionError: If one is missing, or one is there that should not be.
    """
    code = {str(path.relative_to(ROOT / "runtime")) for path in files("runtime", "*.py")}
    assert {name for name in names if name.endswith(".py") and name != "setup.py"} == code
    assert any(Path(name).name == "LICENSE" for name in names)


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
    checks = {"convnext_dense": check_contents, "convnext_dense_runtime": check_runtime_contents}
    wheels = {}
    for name, check in checks.items():
        (wheels[name],) = dist.resolve().glob(f"{name}-*.whl")
        (source,) = dist.glob(f"{name}-*.tar.gz")
        with zipfile.ZipFile(wheels[name]) as archive:
            check(archive.namelist())
        with tarfile.open(source) as archive:
            kept = [member.name for member in archive.getmembers() if member.isfile()]
            check([name.partition("/")[2] for name in kept])
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty")
        empty.mkdir()
        program = install_all(Path(folder, "venv"), wheels)
        try_commands(program, empty)
        for command in EXPORT:
            run([program, *command], empty)
        runtime = f"{wheels['convnext_dense_runtime']}[onnxruntime,pictures]"
        python = install(Path(folder, "runtime"), runtime)
        run([python, "-c", RUNTIME], empty)
    print(
        f"{wheels['convnext_dense'].name}: made data, trained, tested, predicted and exported "
        f"where nothing else is; {wheels['convnext_dense_runtime'].name}: ran the export"
    )


def install_all(place: Path, wheels: Mapping[str, Path]) -> Path:
    """Install both wheels with what they need, and return the program ``convnext-dense``."""
    python = install(place, "torch", "setuptools")
    pip = [python, "-m", "pip", "--quiet"]
    pinned = ["install", "-c", str(ROOT / "constraints.txt")]
    both = [str(wheels["convnext_dense_runtime"]), f"{wheels['convnext_dense']}[lite,export]"]
    subprocess.run([*pip, *pinned, *both], check=True)
    # A server without a display lacks what OpenCV's windows need.
    if subprocess.run([python, "-c", "import cv2"], capture_output=True).returncode:
        subprocess.run([*pip, "uninstall", "--yes", "opencv-python"], check=True)
        subprocess.run([*pip, *pinned, "opencv-python-headless"], check=True)
    return place / "bin" / "convnext-dense"


def install(place: Path, *what: str) -> Path:
    """Install distributions into a new environment, and return its Python."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "install", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *what], check=True)
    return python


if __name__ == "__main__":
    main(Path(sys.argv[1]))
