"""The checked loaders, in the config of a run as in one that was never run."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from mmengine.config import ConfigDict
from mmcv.transforms import TRANSFORMS
from convnext_dense.config.checked_loading import check_pictures
node = ConfigDict(type={kind!r})
check_pictures(node)
print(TRANSFORMS.build(node))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LoadImageFromFile", "LoadPicture"])
def test_our_loader_can_be_built(kind):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE.format(kind=kind)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("LoadPicture(")
