"""The text of a config is formatted once, and is the same text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mmengine.config.config
import pytest
from mmengine.config import Config

from convnext_dense.upstream import config_format, enable

RECIPE = Path(__file__).parents[2] / "configs" / "seg" / "upernet_convnext_t_ade20k.py"
STYLE = dict(based_on_style="pep8")


class Counting:
    """Stands for yapf; counts its calls."""

    calls = 0

    def __call__(self, text, style_config=None, **options):
        self.calls += 1
        return f"{text} {sorted(style_config)} {sorted(options)}", True


@pytest.fixture
def yapf():
    return pytest.importorskip("yapf.yapflib.yapf_api")


@pytest.fixture
def counting(monkeypatch):
    """mmengine with a counted yapf, and the workaround upon it."""
    format_code = Counting()
    monkeypatch.setattr(mmengine.config.config, "FormatCode", format_code, raising=False)
    config_format.mend(mmengine.config.config)
    return format_code


@pytest.mark.slow
def test_a_recipe_has_the_text_that_yapf_gives(yapf, monkeypatch):
    enable()
    cfg = Config.fromfile(RECIPE)
    texts = cfg.pretty_text, cfg.pretty_text
    monkeypatch.setattr(mmengine.config.config, "FormatCode", yapf.FormatCode, raising=False)
    assert texts == (cfg.pretty_text,) * 2


def test_mmengine_asks_once_for_each_text(counting):
    if not hasattr(mmengine.config.config, "yapf"):
        pytest.skip("this mmengine looks yapf up at each call")
    first, second = Config(dict(a=1)), Config(dict(a=2))
    texts = [cfg.pretty_text for cfg in (first, second, first, Config(dict(a=1)))]
    assert counting.calls == 2
    assert texts[0] == texts[2] == texts[3] != texts[1]
    first.a = 3  # a config that has changed is another text
    assert "a=3" in first.pretty_text
    assert counting.calls == 3


def test_other_arguments_are_other_texts():
    yapf = Counting()
    format_code = config_format.remembering(yapf)
    given = {
        format_code("a=1", style_config=STYLE)[0],
        format_code("a=1", style_config=STYLE | dict(column_limit=40))[0],
        format_code("a=1", style_config=STYLE, verify=True)[0],
    }
    assert len(given) == yapf.calls == 3
    assert format_code("a=1", style_config=dict(STYLE)) == yapf("a=1", style_config=STYLE)
    assert yapf.calls == 4


def test_an_error_comes_again_each_time(yapf):
    format_code = config_format.remembering(yapf.FormatCode)
    for _ in range(2):
        with pytest.raises(yapf.errors.YapfError):
            format_code("a = (", style_config=STYLE)


def test_installs_once(counting):
    installed = mmengine.config.config.FormatCode
    assert installed.__wrapped__ is counting
    config_format.mend(mmengine.config.config)
    assert mmengine.config.config.FormatCode is installed


@pytest.mark.slow
def test_an_mmengine_without_it_is_left_alone():
    code = """
import sys
import mmengine.config.config as config

vars(config).pop("FormatCode", None)
for name in [name for name in sys.modules if name.partition(".")[0] == "yapf"] + ["yapf"]:
    sys.modules[name] = None
import convnext_dense.upstream

convnext_dense.upstream.enable()
assert not hasattr(config, "FormatCode")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
