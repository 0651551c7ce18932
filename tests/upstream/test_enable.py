"""Importing changes nothing for other code; the start of a run changes what is listed, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convnext_dense import upstream
from convnext_dense.upstream import _switches

SCRIPT = Path(__file__).with_name("changes.py")
CONFIG = "dict(type='ConvNeXt', arch='atto')"
ENABLE = "import convnext_dense; convnext_dense.enable()"
BUILD = f"from mmdet.registry import MODELS; MODELS.build({CONFIG})"
BY_HAND = "import torch, convnext_dense as c; c.ConvNeXt('atto').init_weights()"
OURS = {
    "bitmap_masks": {
        f"mmdet.structures.mask.structures.BitmapMasks.{name}"
        for name in ("__init__", "crop_and_resize", "pad")
    },
    "config_format": {"mmengine.config.config.FormatCode"},
    "own_configs": {"mmengine.config.config.Config._get_cfg_path"},
    "package_paths": {
        f"mmengine.{module}.{name}"
        for module in ("config.config", "hub.hub", "utils", "utils.package_utils")
        for name in ("get_installed_path", "is_installed")
        if (module, name) != ("hub.hub", "is_installed")
    },
    "resumed_config": {
        "mmengine.runner._flexible_runner.FlexibleRunner.resume",
        "mmengine.runner.runner.Runner.resume",
    },
    "roi_precision": {
        "mmdet.models.roi_heads.roi_extractors.single_level_roi_extractor."
        "SingleRoIExtractor.forward"
    },
    "safe_checkpoint": {"scheme."},
    "web_checkpoints": {
        "mmengine.runner.checkpoint.load_from_http",
        "scheme.http://",
        "scheme.https://",
    },
}
# The table of schemes is another one after each change to it.
SCHEMES = "mmengine.runner.checkpoint.CheckpointLoader._schemes"


def changes(*steps, **env):
    pytest.importorskip("mmdet")
    pytest.importorskip("mmseg")
    done = subprocess.run(
        [sys.executable, SCRIPT, *steps],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )
    assert done.returncode == 0, done.stderr
    return [set(one) for one in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.slow
@pytest.mark.parametrize("start", [ENABLE, BUILD], ids=["enable", "registry"])
def test_an_import_changes_nothing_and_a_start_the_same_once(start):
    imported, all_imported, by_hand, started, again, other = changes(
        BY_HAND, start, start, ENABLE if start is BUILD else BUILD
    )
    assert imported == all_imported == by_hand == set()
    expected = set.union({SCHEMES, "sys.meta_path"}, *OURS.values())
    if not hasattr(pytest.importorskip("mmengine.config.config"), "yapf"):  # the forks
        expected -= OURS["config_format"]
    assert started == expected
    assert again == other == set()


@pytest.mark.slow
def test_what_is_switched_off_changes_nothing():
    off = "bitmap_masks,resumed_config"
    without = "import convnext_dense as c; c.enable(without=['roi_precision', 'safe_checkpoint'])"
    *_, started, again = changes(without, BUILD, CONVNEXT_DENSE_UPSTREAM_OFF=off)
    names = OURS.keys() - {*off.split(","), "roi_precision", "safe_checkpoint"}
    assert started - {SCHEMES, "sys.meta_path"} == set.union(*(OURS[name] for name in names))
    assert again == set()


@pytest.mark.parametrize("name", sorted(upstream.MENDS))
def test_each_can_be_switched_off(name, monkeypatch, request):
    asked = []
    monkeypatch.setattr(upstream, "_enabled", set())
    monkeypatch.setattr(upstream, "after_import", lambda module, name, mend: asked.append(name))
    monkeypatch.setenv(_switches.VARIABLE, f" {name}, cpu_distributed")
    upstream.enable()
    assert set(asked) == set(upstream.MENDS) - {name}


def test_unknown_names_are_answered_with_the_right_ones(monkeypatch):
    with pytest.raises(
        ValueError, match=r"`without` has no workaround 'rois': choose bitmap_masks, .*whole"
    ):
        upstream.enable(without=["rois"])
    monkeypatch.setenv(_switches.VARIABLE, "mmcv_ext,rois")
    with pytest.raises(
        ValueError, match=r"^CONVNEXT_DENSE_UPSTREAM_OFF has no workaround 'rois': choose"
    ):
        upstream.enable()


def test_what_is_in_place_cannot_be_left_out():
    upstream.enable()
    with pytest.raises(RuntimeError, match="bitmap_masks, package_paths is in place already"):
        upstream.enable(without=["package_paths", "bitmap_masks"])
    assert not _switches.is_off("package_paths")


@pytest.mark.slow
def test_a_start_imports_neither_torch_nor_mmengines_model():
    program = (
        "import sys, convnext_dense; convnext_dense.enable()\n"
        "assert not {'torch', 'mmengine.model', 'mmengine.runner', 'mmdet'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_a_module_that_is_imported_later_or_anew_is_changed():
    program = """
import importlib, sys
import convnext_dense
assert "mmengine.runner" not in sys.modules
convnext_dense.enable()
import mmengine.runner.runner as module
from mmengine.runner import Runner
assert Runner.resume.__wrapped__
assert module.__loader__.get_source(module.__name__)
import mmengine.utils.package_utils as module
assert importlib.reload(module).is_installed.__module__ == "convnext_dense.upstream.package_paths"
assert importlib.util.find_spec("mmengine.no_such_module") is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("off", [False, True])
def test_mmcvs_operators_at_import(off):
    program = """
import importlib.util, convnext_dense
spec = importlib.util.find_spec("mmcv._ext")
print(spec and spec.origin)
"""
    env = {**os.environ, _switches.VARIABLE: "mmcv_ext" if off else ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    ours = "convnext_dense.upstream.mmcv_ext" in done.stdout
    assert not ours if off else ours or "_ext" in done.stdout
