"""The wheel, installed without a clone in sight, does what the clone does."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

import convnext_dense
import convnext_dense_runtime

from .wheel_trial import ROOT, check_contents, check_runtime_contents, try_commands

pytestmark = pytest.mark.slow
BUILD = "from setuptools import build_meta; print(build_meta.build_wheel(r'{}'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the sources as they are; building leaves nothing among them."""
    place = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__")
    for folder in ("convnext_dense", "configs"):
        shutil.copytree(ROOT / folder, place / folder, symlinks=True, ignore=skipped)
    for file in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, place)
    return build_wheel(place)


@pytest.fixture(scope="module")
def runtime_wheel(tmp_path_factory):
    """The wheel of the runtime, likewise."""
    place = tmp_path_factory.mktemp("runtime") / "runtime"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT / "runtime", place, ignore=skipped)
    return build_wheel(place)


def build_wheel(place):
    build = [sys.executable, "-c", BUILD.format(place / "dist")]
    subprocess.run(build, cwd=place, check=True, capture_output=True)
    (built,) = (place / "dist").glob("*.whl")
    return built


def install(place, *wheels):
    """Install wheels alone into a new environment, and return the folder of its programs."""
    venv.create(place)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--quiet", *wheels], check=True)
    return place / "bin"


@pytest.fixture(scope="module")
def installed(wheel, runtime_wheel, tmp_path_factory):
    """Install both wheels alone, and return the folder of their programs."""
    return install(tmp_path_factory.mktemp("environment"), wheel, runtime_wheel)


@pytest.fixture
def others(installed):
    """Let the environment see what is installed here, and return its own folder of packages."""
    (site,) = (installed.parent / "lib").glob("python*/site-packages")
    # Its packages are found, but the editable install of ours that lies there is not obeyed.
    file = site / "others.pth"
    file.write_text(sysconfig.get_path("purelib"))
    yield site
    file.unlink()


@pytest.fixture
def run(installed, tmp_path):
    def run(program, *argv):
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [installed / program, *argv]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)

    return run


def test_what_the_wheels_hold(wheel, runtime_wheel):
    with zipfile.ZipFile(wheel) as archive:
        check_contents(archive.namelist())
    with zipfile.ZipFile(runtime_wheel) as archive:
        check_runtime_contents(archive.namelist())


def test_the_wheels_are_of_one_version(wheel, runtime_wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        required = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist")
    version = convnext_dense.__version__
    assert f"convnext-dense-runtime=={version}" in required
    assert wheel.name.split("-")[1] == runtime_wheel.name.split("-")[1] == version
    assert convnext_dense_runtime.__version__ == version


def test_it_works_in_an_empty_folder(installed, others, run, tmp_path):
    program = "import convnext_dense as c; print(c.__file__)"
    assert run("python", "-c", program).stdout == f"{others}/convnext_dense/__init__.py\n"
    path = run("convnext-dense", "recipes", "--path", "upernet_convnext_t_ade20k").stdout
    assert path == f"{others}/convnext_dense/.mim/configs/seg/upernet_convnext_t_ade20k.py\n"
    try_commands(installed / "convnext-dense", tmp_path)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_it(others, installed):
    shell = """
eval "$(convnext-dense --print-completion bash)"
COMP_LINE="convnext-dense train cascade_convnext_b_in" COMP_POINT=42 COMP_TYPE=9
_python_argcomplete convnext-dense
printf %s "${COMPREPLY[*]}"
"""
    path = f"{installed}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env={"PATH": path}, timeout=60
    )
    assert done.stdout.strip() == "cascade_convnext_b_in22k_coco", done.stderr


def test_without_an_extra_one_line_names_it(run):
    said = r"error: \w+ is not installed: pip install 'convnext-dense\[lite\]'\n"
    for command in (
        ["convnext-dense", "train", "mask_rcnn_convnext_t_coco"],
        ["convnext-dense", "--help"],
        ["convnext-dense"],
        ["python", "-m", "convnext_dense"],
    ):
        done = run(*command)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert re.fullmatch(said, done.stderr), command
