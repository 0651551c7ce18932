import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.utils.package_utils import get_installed_path as mmengine_path

from convnext_dense.upstream import package_paths


def run_without_pkg_resources(code):
    code = f"import sys; sys.modules['pkg_resources'] = None; import convnext_dense; {code}"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )


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


def test_a_config_can_be_got_by_name():
    pytest.importorskip("mmdet")
    result = run_without_pkg_resources(
        "from mmengine.hub import get_config;"
        "print(get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model.type)"
    )
    assert result.stdout.strip() == "MaskRCNN", result.stderr


def test_a_package_that_is_not_installed_is_named(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'mmyolo::a/b.py'")
    result = run_without_pkg_resources(
        f"from mmengine.config import Config; Config.fromfile({str(path)!r})"
    )
    assert "ModuleNotFoundError: mmyolo is not installed" in result.stderr


@pytest.mark.parametrize("package", ["mmsegmentation", "mmdet", "mmengine"])
def test_paths_are_those_of_mmengine(package):
    pytest.importorskip("pkg_resources")
    assert Path(package_paths.get_installed_path(package)) == Path(mmengine_path(package))


def test_what_is_installed():
    assert package_paths.is_installed("mmengine")
    assert package_paths.is_installed("pytest")
    assert not package_paths.is_installed("no-such-package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        package_paths.get_installed_path("no_such_package")


def test_leaves_mmengine_alone_where_pkg_resources_is_there():
    pytest.importorskip("pkg_resources")
    package_paths.install()
    assert mmengine_path.__module__ == "mmengine.utils.package_utils"
    import mmengine.config.config

    assert mmengine.config.config.get_installed_path is mmengine_path
