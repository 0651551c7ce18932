"""A config's ``custom_imports`` is all that mmdet's own ``tools/train.py`` needs."""

from __future__ import annotations

import os
import subprocess
import sys

# What mmdet 3.3.0's script imports and does; it is not in the wheel.
SCRIPT = """
import sys
import mmengine.config.config
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmdet.utils import setup_cache_size_limit_of_dynamo

assert "convnext_dense" not in sys.modules
mmengine.config.config.FormatCode = lambda text, **_: (text, True)  # saves seconds
cfg = Config.fromfile(sys.argv[1])
cfg.work_dir = sys.argv[2]
cfg.train_cfg.max_epochs = 1
cfg.train_dataloader.num_workers = 0
cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
Runner.from_cfg(cfg).train()
"""


def test_mmdets_way_to_train(cli, trained, tmp_path):
    (config,) = trained["det"].glob("mask_rcnn_convnext_t_coco.py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, config, "w"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    saved = cli.load("w/epoch_1.pth")
    assert saved["meta"]["convnext_dense"]["backbone"] == "ConvNeXt"
