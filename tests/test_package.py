"""What holds for the package as a whole."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convnext_dense
from convnext_dense import benchmark
from convnext_dense.benchmark.backbone import _FORMATS
from convnext_dense.benchmark.peers import PEERS

ROOT = Path(convnext_dense.__file__).parent
MODULES = {
    path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
}
WITH_EXAMPLES = [name for path, name in MODULES.items() if ">>>" in path.read_text()]


TOOLS = sorted((ROOT.parent / "tools").glob("*.py"))
TINY_COCO = ROOT.parent / "tests" / "evaluation" / "tiny_coco"
# What costs time to import; and what the backbone does without.
SLOW = ("torch", "mmengine.model", "mmengine.runner", "mmdet", "mmseg", "mmcv", "matplotlib")
OTHERS = ("mmdet", "mmseg", "mmcv", "pycocotools", "torchvision", "onnx")
# Runs a tool in this process, and says on the last line what it has loaded.
TOOL = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code
print(status, *(name for name in {SLOW} if name in sys.modules))
"""


def run(program, *args):
    command = [sys.executable, "-c", program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status_and_slow_imports(*command):
    status, *loaded = run(TOOL, *command).splitlines()[-1].split()
    return int(status), loaded


@pytest.mark.slow
def test_import_loads_nothing_slow():
    run(
        "import sys, convnext_dense\n"
        f"loaded = [name for name in {SLOW + OTHERS} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_tools_answer_before_anything_slow_is_loaded(tool):
    assert status_and_slow_imports(tool, "--help") == (0, [])
    assert status_and_slow_imports(tool, "--no-such-flag") == (2, [])


@pytest.mark.slow
def test_coco_is_evaluated_without_torch():
    files = TINY_COCO / "results.json", TINY_COCO / "annotations.json"
    command = ROOT.parent / "tools" / "evaluate.py", "coco", *files, "--backend", "pycocotools"
    assert status_and_slow_imports(*command) == (0, [])


def test_what_a_command_line_offers_is_what_there_is():
    assert tuple(PEERS) == benchmark.PEER_NAMES
    assert tuple(_FORMATS) == benchmark.FORMATS


@pytest.mark.slow
def test_backbone_runs_where_nothing_else_is_installed():
    run(
        f"import sys; sys.modules.update(dict.fromkeys({OTHERS}))\n"  # None refuses an import
        "import torch, convnext_dense\n"
        "convnext_dense.ConvNeXt('v2_atto')(torch.zeros(1, 3, 32, 32))"
    )


@pytest.mark.slow
def test_a_name_that_needs_an_extra_names_it():
    said = run(
        "import sys; sys.modules['mmengine'] = None\n"  # None refuses an import
        "import convnext_dense\n"
        "try: convnext_dense.ConvNeXt\n"
        "except ImportError as error: print(error)"
    )
    remedy = "mmengine is not installed: pip install 'convnext-dense[lite]'"
    assert said == f"convnext_dense.ConvNeXt: {remedy}\n"


def test_public_names():
    assert {"ConvNeXt", "load_weights", "__version__"} <= set(convnext_dense.__all__)
    for name in convnext_dense.__all__:
        assert getattr(convnext_dense, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", convnext_dense.__version__)


LAZY = [path for path in MODULES if "load_when_used(" in path.read_text() and path.stem != "lazy"]


@pytest.mark.parametrize("path", LAZY, ids=MODULES.get)
def test_names_that_are_loaded_when_used_are_those_of_the_types(path):
    module = importlib.import_module(MODULES[path])
    typed = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                typed |= {alias.name: line.module for alias in line.names}
    assert typed
    for name, origin in typed.items():
        assert getattr(module, name) is getattr(importlib.import_module(origin), name)
    assert set(module.__all__) <= set(dir(module))
    assert set(typed) <= set(module.__all__)
    assert not hasattr(module, "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0


def test_upstream_imports_nothing_of_ours():
    for path, module in MODULES.items():
        if not module.startswith("convnext_dense.upstream"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                names = [node.module]
            ours = [name for name in names if name.split(".")[0] == "convnext_dense"]
            outside = [name for name in ours if not name.startswith("convnext_dense.upstream")]
            assert not outside, f"{path} imports {outside}"


@pytest.mark.slow
def test_checkpoints_are_loaded_as_data_only_but_on_the_users_word():
    others = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if given.get("weights_only") != "True":
                    others.append((path.name, given.get("weights_only")))
    assert others == [("safe_checkpoint.py", "not trust")]
