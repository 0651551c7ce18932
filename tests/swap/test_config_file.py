"""Swapped configs as files."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from tokenize import detect_encoding

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from convnext_dense.config.read_config import read_config
from convnext_dense.swap import plan_swap
from convnext_dense.swap.config_file import _comment, as_source, config_difference, write_config

from ..configs import load

RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        RETINANET,
        "mmdet::ssd/ssd300_coco.py",
        "mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py",
        "mmdet::nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py",
        "mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py",
        "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py",
    ],
)
def test_a_written_config_builds_the_same_model(name, tmp_path):
    original = load(name)
    swap = plan_swap(original, "atto", recipe="convnext")
    out = tmp_path / "new" / "swapped.py"
    write_config(swap, original, name, out, "tools/swap_backbone.py ...")
    text = out.read_text()
    assert f'_base_ = "{name}"' in text
    assert len(text.splitlines()) < 90
    read = Config.fromfile(out)
    assert read.model.backbone == swap.config.model.backbone
    assert read.optim_wrapper.optimizer.lr == swap.config.optim_wrapper.optimizer.lr


@pytest.mark.slow
def test_a_local_config_is_named_by_a_relative_path(tmp_path):
    base = tmp_path / "mine" / "base.py"
    base.parent.mkdir()
    base.write_text(f"_base_ = '{RETINANET}'\n")
    original = read_config(str(base))
    write_config(plan_swap(original, "atto"), original, str(base), tmp_path / "out.py", "command")
    assert '_base_ = "mine/base.py"' in (tmp_path / "out.py").read_text()


@pytest.mark.slow
def test_a_file_that_exists_is_left_alone(tmp_path):
    out = tmp_path / "out.py"
    out.write_text("precious = True\n")
    original = load(RETINANET)
    with pytest.raises(FileExistsError, match="choose another name"):
        write_config(plan_swap(original, "atto"), original, RETINANET, out, "command")
    assert out.read_text() == "precious = True\n"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path):
    original = load(RETINANET)
    swap = plan_swap(original, "atto")
    swap.config.model.bbox_head.num_classes = Path  # a class is no literal
    with pytest.raises(RuntimeError, match=r"cannot be written .*model\.bbox_head.num_classes"):
        write_config(swap, original, RETINANET, tmp_path / "out.py", "command")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_notes_stand_in_the_file(tmp_path):
    original = load(RETINANET)
    write_config(
        plan_swap(original, "atto"), original, RETINANET, tmp_path / "out.py", "the command"
    )
    text = (tmp_path / "out.py").read_text()
    assert text.startswith("# Written by: the command\n# Note: ")
    assert "SGD at lr=0.01 is kept" in text


BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\udc80"]


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([*BREAKS, "coding: utf-7 ", "{{ fileDirname }}", "{{$HOME:x}}", "#"]))
)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_no_argument_leaves_the_comment(pieces):
    comment = _comment("Written by: x" + "ran = True".join(["", *pieces, ""]))
    assert len(comment.splitlines()) == 1
    source = f"{comment}\nkept = 1\n".encode()
    assert [type(node) for node in ast.parse(source).body] == [ast.Assign]
    assert detect_encoding(io.BytesIO(source).readline)[0] == "utf-8"
    assert "{{" not in comment


@pytest.mark.slow
@pytest.mark.parametrize("break_", BREAKS)
def test_a_command_in_the_file_is_a_comment(tmp_path, monkeypatch, break_):
    monkeypatch.chdir(tmp_path)
    original = load(RETINANET)
    command = f"tool '{break_}__import__('os').mkdir('it_ran')\n'"
    write_config(plan_swap(original, "atto"), original, RETINANET, Path("out.py"), command)
    assert Config.fromfile("out.py").model.backbone.type == "ConvNeXt"
    assert not Path("it_ran").exists()


@pytest.mark.slow
@given(st.text(st.characters(codec=None), max_size=10))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_a_text_of_any_characters_is_written_as_itself(text):
    source = as_source({"a": text, "b": {text: 1}})
    content: dict = {}
    exec(source.encode(), content)
    assert (content["a"], content["b"]) == (text, {text: 1})


@pytest.mark.parametrize("key", ["a b", "class", "x = 1; y", "", "a\n"])
def test_a_key_that_is_no_name_is_refused(key):
    with pytest.raises(RuntimeError, match="cannot be written as a file"):
        as_source({key: 1})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": [1, 2]}, {"a": (1, 2)}),
        ({"a": {"type": "X", "b": 1}}, {"a": {"type": "Y", "b": 1}}),
        ({"a": None}, {"a": {"b": 1}}),
        ({"a": [{"b": 1}]}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": [{"b": 1}, 2]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}, "d": {"e": 1}}),
        ({"a": 1}, {"a": True}),
    ],
)
def test_merging_the_delta_gives_the_new(old, new, tmp_path):
    (tmp_path / "base.py").write_text(as_source(old))
    (tmp_path / "out.py").write_text(
        as_source({"_base_": "base.py", **config_difference(old, new)})
    )
    merged = Config.fromfile(tmp_path / "out.py")._cfg_dict.to_dict()
    assert merged == new
    assert type(merged["a"]) is type(new["a"])


def test_equal_configs_have_no_delta():
    assert config_difference({"a": {"b": [1, (2,)]}}, {"a": {"b": [1, (2,)]}}) == {}


def test_infinity_is_written():
    assert as_source({"a": [float("inf")]}) == "a = [float('inf')]\n"


def test_source_is_python_for_every_kind_of_value():
    content = {
        "a": {"b-c": (1,), "d": [None, True, 1.5, "x'y", 'a"\\n']},
        "e": {},
        "f": (),
        "g": {1: 2},
        "h": 1e-6,
    }
    module = ast.parse(as_source(content))
    read = {
        node.targets[0].id: eval(ast.unparse(node.value), {"dict": dict}) for node in module.body
    }
    assert read == content


@pytest.mark.slow
def test_a_pure_python_config_is_written_whole(tmp_path):
    base = tmp_path / "base.py"
    base.write_text(
        "from mmengine.config import read_base\n"
        "from mmseg.models import EncoderDecoder, FCNHead, ResNet, SegDataPreProcessor\n"
        "default_scope = 'mmseg'\n"
        "model = dict(type=EncoderDecoder, data_preprocessor=dict(type=SegDataPreProcessor),\n"
        "    backbone=dict(type=ResNet, depth=18, norm_cfg=dict(type='BN')),\n"
        "    decode_head=dict(type=FCNHead, in_channels=512, channels=8, num_classes=2))\n"
    )
    original = read_config(str(base))
    swap = plan_swap(original, "atto")
    write_config(swap, original, str(base), tmp_path / "out.py", "command")
    text = (tmp_path / "out.py").read_text()
    assert "_base_" not in text and "read_base" not in text
    model = Config.fromfile(tmp_path / "out.py").model
    assert model.decode_head.in_channels == 320
    assert model.decode_head.type == "mmseg.models.FCNHead"
