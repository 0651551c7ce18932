import subprocess
import sys
import warnings
from pathlib import Path

import mmengine.config.config
import pytest
from mmengine.config import Config

from convnext_dense.upstream import enable, package_paths


def run_without_pkg_resources(code):
    start = "import sys; sys.modules['pkg_resources'] = None; import convnext_dense as ours"
    code = f"{start}; ours.enable(); {code}"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scope", "config", "model"),
    [
        ("mmdet", "_base_/models/mask-rcnn_r50_fpn.py", "MaskRCNN"),
        ("mmseg", "_base_/models/upernet_r50.py", "EncoderDecoder"),
    ],
)
def test_a_config_can_be_based_on_one_of_an_installed_package(tmp_path, scope, config, model):
    pytest.importorskip(scope)
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = '{scope}::{config}'")
    result = run_without_pkg_resources(
        f"from mmengine.config import Config; print(Config.fromfile({str(path)!r}).model.type)"
    )
    assert result.stdout.strip() == model, result.stderr


@pytest.mark.slow
def test_a_config_can_be_got_by_name():
    pytest.importorskip("mmdet")
    result = run_without_pkg_resources(
        "from mmengine.hub import get_config;"
        "print(get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model.type)"
    )
    assert result.stdout.strip() == "MaskRCNN", result.stderr


@pytest.mark.slow
def test_a_package_that_is_not_installed_is_named(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'mmyolo::a/b.py'")
    result = run_without_pkg_resources(
        f"from mmengine.config import Config; Config.fromfile({str(path)!r})"
    )
    assert "ModuleNotFoundError: mmyolo is not installed" in result.stderr


@pytest.mark.parametrize(
    ("package", "module"),
    [("mmsegmentation", "mmseg"), ("mmdet", "mmdet"), ("mmengine", "mmengine")],
)
def test_paths_are_those_of_the_modules(package, module):
    folder = Path(pytest.importorskip(module).__file__).parent
    assert Path(package_paths.get_installed_path(package)) == folder
    assert Path(package_paths.get_installed_path(module)) == folder


def test_what_is_installed():
    assert package_paths.is_installed("mmengine")
    assert package_paths.is_installed("pytest")
    assert not package_paths.is_installed("no-such-package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        package_paths.get_installed_path("no_such_package")


@pytest.mark.slow
def test_a_base_of_another_package_warns_of_nothing(tmp_path):
    pytest.importorskip("mmdet")
    enable()
    assert mmengine.config.config.get_installed_path is package_paths.get_installed_path
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'mmdet::_base_/default_runtime.py'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Config.fromfile(path).default_scope == "mmdet"
