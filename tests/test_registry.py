"""One class under one name, wherever a config looks for it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope, build_from_cfg

from convnext_dense import ConvNeXt
from convnext_dense import registry as registries
from convnext_dense.config.checks.signatures import arguments_of_type
from convnext_dense.registry import MODELS, class_of

pytestmark = pytest.mark.slow

CONFIG = dict(arch="atto", out_indices=(0,))


def registry_of(scope):
    if scope == "mmengine":
        return ROOT_MODELS
    return pytest.importorskip(f"{scope}.registry").MODELS


@pytest.mark.parametrize("name", ["ConvNeXt", "convnext_dense.ConvNeXt"])
@pytest.mark.parametrize("scope", ["mmengine", "mmdet", "mmseg"])
def test_builds_in_every_scope(scope, name):
    net = registry_of(scope).build(dict(type=name, **CONFIG))
    assert type(net) is ConvNeXt
    assert net.out_channels == (40,)


@pytest.mark.parametrize("scope", ["mmdet", "mmseg", "convnext_dense"])
def test_builds_under_the_default_scope_of_a_config(scope):
    if scope != "convnext_dense":
        pytest.importorskip(scope)
    with DefaultScope.overwrite_default_scope(scope):
        assert type(ROOT_MODELS.build(dict(type="ConvNeXt", **CONFIG))) is ConvNeXt


def test_stands_in_our_scope():
    assert MODELS.scope == "convnext_dense"
    assert "ConvNeXt" in MODELS.module_dict
    assert type(build_from_cfg(dict(type="ConvNeXt", **CONFIG), MODELS)) is ConvNeXt


FIRST = """
import sys, convnext_dense
from mmengine.registry import HOOKS, MODELS, DefaultScope
assert "torch" not in sys.modules
scope = sys.argv[1]
with DefaultScope.overwrite_default_scope(None if scope == "mmengine" else scope):
    net = MODELS.build(dict(type="ConvNeXt", arch="atto"))
    hook = HOOKS.build(dict(type="FiniteValuesHook"))
assert type(net) is convnext_dense.ConvNeXt
assert type(hook) is convnext_dense.training.FiniteValuesHook
"""


@pytest.mark.parametrize("scope", ["mmengine", "mmdet", "mmseg", "convnext_dense"])
def test_importing_the_package_is_enough(scope):
    if scope not in ("mmengine", "convnext_dense"):
        pytest.importorskip(scope)
    done = subprocess.run([sys.executable, "-c", FIRST, scope], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ENTRIES = [
    (registry, name)
    for registry in (registries.MODELS, registries.HOOKS, registries.OPTIM_WRAPPER_CONSTRUCTORS)
    for name in registry.module_dict
]


@pytest.mark.parametrize(("registry", "name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_entries_stand_for_classes(registry, name):
    for one in (registry, registry.parent):
        found = class_of(one.get(name))
        assert isinstance(found, type)
        assert found.__name__ == name
    assert class_of(ConvNeXt) is ConvNeXt


def test_signatures_are_those_of_the_classes():
    hook = arguments_of_type("FiniteValuesHook", "mmdet")
    assert "priority" in hook.names
    assert not hook.is_open
    assert {"arch", "out_indices", "with_cp"} <= arguments_of_type("ConvNeXt", "mmseg").names


# What mmpretrain and its fork do: a child registry of their own with another class of our name.
MMPRETRAIN = {
    "__init__.py": "",
    "registry.py": """
        from mmengine.registry import MODELS as MMENGINE_MODELS, Registry
        MODELS = Registry('model', parent=MMENGINE_MODELS, locations=['mmpretrain.models'])
    """,
    "models/__init__.py": """
        from mmengine.model import BaseModule
        from mmpretrain.registry import MODELS

        @MODELS.register_module()
        class ConvNeXt(BaseModule):
            def __init__(self, arch='tiny', gap_before_final_norm=True):
                super().__init__()
    """,
}

PROGRAM = """
from mmengine.registry import MODELS, DefaultScope
from mmdet.registry import MODELS as MMDET_MODELS

def build(registry, name):
    return type(registry.build(dict(type=name, arch='atto')))

ours, theirs = convnext_dense.ConvNeXt, mmpretrain.models.ConvNeXt
for registry in (MODELS, MMDET_MODELS, mmpretrain.registry.MODELS):
    assert build(registry, 'convnext_dense.ConvNeXt') is ours
    assert build(registry, 'mmpretrain.ConvNeXt') is theirs
for registry in (MODELS, MMDET_MODELS):
    assert build(registry, 'ConvNeXt') is ours
with DefaultScope.overwrite_default_scope('mmdet'):
    assert build(MODELS, 'ConvNeXt') is ours
assert build(mmpretrain.registry.MODELS, 'ConvNeXt') is theirs
"""


@pytest.mark.parametrize(
    "imports",
    ["import convnext_dense, mmpretrain.models", "import mmpretrain.models, convnext_dense"],
    ids=["before", "after"],
)
def test_beside_mmpretrain(imports, tmp_path):
    pytest.importorskip("mmdet")
    for name, text in MMPRETRAIN.items():
        path = tmp_path / "mmpretrain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    # First on the path, so that an installed mmpretrain does not come between.
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{imports}\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
