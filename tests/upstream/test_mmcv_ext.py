import importlib.util
import subprocess
import sys

import pytest

from convnext_dense.upstream.mmcv_ext import _Finder, install

try:
    COMPILED = importlib.util.find_spec("mmcv._ext").origin != "convnext_dense.upstream.mmcv_ext"
except ModuleNotFoundError:
    pytest.skip("no mmcv is installed", allow_module_level=True)

without_compiled = pytest.mark.skipif(COMPILED, reason="a compiled mmcv is installed")


def run(program, **options):
    """Standard output of a fresh interpreter."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@without_compiled
def test_openmmlab_imports_after_convnext_dense():
    run(
        "import convnext_dense, mmcv.ops, mmdet.models, mmdet.evaluation, mmdet.datasets, "
        "mmseg.apis, mmseg.utils"
    )


@pytest.mark.slow
@without_compiled
def test_mmcv_may_come_first_and_may_have_failed():
    program = """
import mmcv
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    print(error.name)
import convnext_dense
from mmcv.ops import batched_nms
"""
    assert run(program) == "mmcv._ext"


@pytest.mark.slow
@without_compiled
def test_installing_imports_neither_mmcv_nor_the_operators():
    program = """
import sys
from convnext_dense.upstream import mmcv_ext
mmcv_ext.install()
print("mmcv" in sys.modules, "convnext_dense.upstream.ops" in sys.modules)
"""
    assert run(program) == "False False"


@pytest.mark.slow
def test_a_compiled_extension_wins(tmp_path):
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_ext.py").write_text("nms = 'compiled'")
    program = """
import importlib.util
from convnext_dense.upstream import mmcv_ext
mmcv_ext.install()
import mmcv._ext
print(mmcv._ext.nms)
"""
    path = [str(tmp_path), *sys.path]
    assert run(f"import sys; sys.path[:] = {path}\n{program}") == "compiled"


@pytest.mark.slow
def test_without_mmcv_it_stays_missing(tmp_path):
    program = """
import sys
from convnext_dense.upstream import mmcv_ext
mmcv_ext.install()
sys.modules["mmcv"] = None
try:
    import mmcv._ext
except ModuleNotFoundError as error:
    print("missing")
"""
    assert run(program) == "missing"


def test_installing_twice_adds_one_finder():
    install()
    install()
    assert sum(isinstance(finder, _Finder) for finder in sys.meta_path) == 1


@without_compiled
class TestModule:
    @pytest.fixture
    def extension(self):
        return importlib.import_module("mmcv._ext")

    def test_has_a_real_spec(self, extension):
        assert extension.__spec__.name == "mmcv._ext"
        assert importlib.util.find_spec("mmcv._ext") is extension.__spec__

    def test_is_a_module_not_a_package(self, extension):
        assert not hasattr(extension, "__path__")
        assert not hasattr(extension, "__file__")
        assert not hasattr(extension, "_private")

    def test_offers_what_the_configs_of_the_zoo_use(self, extension):
        from convnext_dense.upstream.ops import OPERATORS

        assert all(getattr(extension, name) is OPERATORS[name] for name in OPERATORS)
        assert {"nms", "softnms", "roi_align_forward", "roi_pool_forward"} <= OPERATORS.keys()

    def test_a_missing_operator_raises_when_it_is_called(self):
        import torch
        from mmcv.ops import carafe

        with pytest.raises(NotImplementedError) as error:
            carafe(torch.randn(1, 4, 4, 4), torch.randn(1, 9, 8, 8), 3, 1, 2)
        message = str(error.value)
        assert message.startswith("mmcv.ops.carafe needs the operator 'carafe_forward'")
        assert "docs/install.md says how to compile mmcv" in message
        assert "\n" not in message

    def test_the_environment_can_be_printed(self):
        from mmcv.utils import collect_env

        assert "operators over torch" in collect_env()["MMCV Compiler"]
