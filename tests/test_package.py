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

ROOT = Path(convnext_dense.__file__).parent
MODULES = {
    path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
}
WITH_EXAMPLES = [name for path, name in MODULES.items() if ">>>" in path.read_text()]


HEAVY = ("mmdet", "mmseg", "mmcv", "pycocotools", "torchvision", "onnx")


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_import_leaves_the_rest_of_the_stack_alone():
    run(
        "import sys, convnext_dense\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )


def test_backbone_runs_where_nothing_else_is_installed():
    run(
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n"  # None refuses an import
        "import torch, convnext_dense\n"
        "convnext_dense.ConvNeXt('v2_atto')(torch.zeros(1, 3, 32, 32))"
    )


def test_public_names():
    assert {"ConvNeXt", "load_weights", "__version__"} <= set(convnext_dense.__all__)
    for name in convnext_dense.__all__:
        assert getattr(convnext_dense, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", convnext_dense.__version__)


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


def test_checkpoints_are_loaded_as_data_only_but_on_the_users_word():
    others = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if given.get("weights_only") != "True":
                    others.append((path.name, given.get("weights_only")))
    assert others == [("safe_checkpoint.py", "not trust")]
