"""Folders that transformers writes, here and on the hub."""

from __future__ import annotations

import json

import pytest
import torch

from convnext_dense import ConvNeXt, load_weights
from convnext_dense.checkpoints.verify import verify

from .helpers import assert_holds, backbone, published

SIZES = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 2, 1])
ARCH = dict(depths=(1, 2, 2, 1), channels=(8, 16, 24, 32))


@pytest.fixture(params=["16KB", "1GB"])
def folder(transformers, randomise, tmp_path, request):
    model = transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**SIZES))
    randomise(model).save_pretrained(tmp_path / "it", max_shard_size=request.param)
    sharded = (tmp_path / "it" / "model.safetensors.index.json").is_file()
    assert sharded == (request.param == "16KB")
    return tmp_path / "it", model


def test_a_folder_loads(folder):
    path, model = folder
    net = ConvNeXt(ARCH)
    report = load_weights(net, path)
    gamma = model.state_dict()["convnext.encoder.stages.1.layers.1.layer_scale_parameter"]
    assert torch.equal(net.stages[1][1].gamma, gamma)
    assert report.source == str(path)
    assert max(check.error for check in verify(path)) <= 1e-5


def split(tmp_path, state, **index):
    """Write two shards of torch's, and an index with what is given of it changed."""
    names = list(state)
    parts = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, held in parts.items():
        torch.save({name: state[name] for name in held}, tmp_path / file)
    where = {name: file for file, held in parts.items() for name in held}
    content = dict(metadata=dict(total_size=1), weight_map=where | index)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(content))
    return where


def test_shards_of_torch_load_by_the_folder_and_by_the_index(tmp_path):
    state = published(backbone(), with_norms=True)
    split(tmp_path, state)
    for source in (tmp_path, tmp_path / "pytorch_model.bin.index.json"):
        net = backbone()
        report = load_weights(net, source)
        assert_holds(net, state)
        assert report.checksum is None


@pytest.mark.parametrize(
    "name", ["../a.bin", "/etc/passwd", "x/../../a.bin", "sub/a.bin", "..", "", ".\\a.bin", 3, None]
)
def test_an_index_does_not_leave_its_folder(tmp_path, name):
    split(tmp_path, published(backbone()), **{"stages.0.0.gamma": name})
    with pytest.raises(RuntimeError, match=r"index\.json names .* which is not a file beside it"):
        load_weights(backbone(), tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "{", '{"weight_map": 3}', "[" * 10**5, '{"weight_map": {"a": []}}']
)
def test_a_damaged_index_is_named(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(RuntimeError, match=r"model\.safetensors\.index\.json is not an index of"):
        load_weights(backbone(), tmp_path)


def test_what_is_missing_is_named(tmp_path):
    state = published(backbone())
    split(tmp_path, state, **{"stages.9.0.gamma": "a.bin"})
    with pytest.raises(
        RuntimeError, match=r"a\.bin lacks parameters that .* lists for it: stages\.9\.0\.gamma"
    ):
        load_weights(backbone(), tmp_path)
    split(tmp_path, state)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.bin"):
        load_weights(backbone(), tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"has none of model\.safetensors"):
        load_weights(backbone(), tmp_path)


def test_shards_of_the_hub(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    state = published(backbone(), with_norms=True)
    split(tmp_path, state)
    asked = []

    def download(repo, file):
        asked.append(file)
        if not (tmp_path / file).is_file():
            raise hub.errors.EntryNotFoundError(f"404 {file}")
        return str(tmp_path / file)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    net = backbone()
    load_weights(net, "facebook/convnext-tiny")
    assert_holds(net, state)
    assert asked[-2:] == ["a.bin", "b.bin"]
