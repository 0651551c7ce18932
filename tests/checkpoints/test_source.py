"""Where weights may come from."""

from __future__ import annotations

import sys

import pytest
import torch

from convnext_dense import ConvNeXt, cached_download, load_weights
from convnext_dense.checkpoints.source import is_remote, read_source
from convnext_dense.download import sha256_of

ARCH = dict(depths=(1, 2), channels=(8, 16))


@pytest.fixture
def net():
    return ConvNeXt(ARCH, out_indices=(0, 1))


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        ("timm/convnext_tiny.fb_in1k", True),
        ("facebook/convnext-tiny-224", True),
        ("hf-hub:laion/CLIP-convnext_base_w-laion2B-s13B-b82K", True),
        ("https://host/a.pth", True),
        ("openmmlab://x", True),
        ("weights/convnext_tiny", False),
        ("timm/convnext_tiny.pth", False),
        ("facebook/model.safetensors", False),
        ("convnext.pth", False),
    ],
)
def test_models_of_the_hub_are_told_from_paths(name, remote):
    assert is_remote(name) == remote


def test_a_file_here_wins_over_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "convnext_tiny").touch()
    assert not is_remote("timm/convnext_tiny")


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        return pytest.importorskip("huggingface_hub")

    def serve(self, hub, monkeypatch, files):
        from huggingface_hub.errors import EntryNotFoundError

        def download(repo, file):
            assert repo == "timm/convnext_tiny.fb_in1k"
            if file not in files:
                raise EntryNotFoundError(f"404 {file}")
            return files[file]

        monkeypatch.setattr(hub, "hf_hub_download", download)

    def test_falls_back_to_the_older_file(self, hub, monkeypatch, net, saved):
        path = saved(net.state_dict(), "pytorch_model.bin")
        self.serve(hub, monkeypatch, {"pytorch_model.bin": path})
        report = load_weights(net, "timm/convnext_tiny.fb_in1k")
        assert report.source == "timm/convnext_tiny.fb_in1k"
        assert report.licence == "MIT (facebookresearch/ConvNeXt)"

    def test_a_model_without_weights(self, hub, monkeypatch, net):
        self.serve(hub, monkeypatch, {})
        with pytest.raises(FileNotFoundError, match=r"has none of model\.safetensors, pytorch_"):
            load_weights(net, "timm/convnext_tiny.fb_in1k")

    @pytest.mark.parametrize("kind", ["LocalEntryNotFoundError", None])
    def test_no_connection(self, kind, hub, monkeypatch, net):
        from huggingface_hub import errors

        fault = getattr(errors, kind) if kind else OSError

        def download(repo, file):
            raise fault("no route to host")

        monkeypatch.setattr(hub, "hf_hub_download", download)
        with pytest.raises(ConnectionError, match=r"could not download timm/.*no route to host"):
            load_weights(net, "timm/convnext_tiny.fb_in1k")

    @pytest.mark.parametrize(
        ("kind", "wrapped", "ways"),
        [
            (
                "GatedRepoError",
                PermissionError,
                r"timm/.* is gated: accept its licence at https://huggingface\.co/timm/.*, then "
                r"run `hf auth login` or set HF_TOKEN .*; `hf download timm/.*give a local copy as",
            ),
            ("RepositoryNotFoundError", FileNotFoundError, "the hub has no model timm/.*private"),
        ],
    )
    def test_a_model_that_is_not_for_everybody(self, kind, wrapped, ways, hub, monkeypatch, net):
        from huggingface_hub import errors

        class Response:  # what the real one is made from
            request = None
            headers: dict = {}

        def download(repo, file):
            raise getattr(errors, kind)("401 Client Error.", response=Response())

        monkeypatch.setattr(hub, "hf_hub_download", download)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with pytest.raises(wrapped, match=ways) as caught:
            load_weights(net, "timm/convnext_tiny.dinov3_lvd1689m")
        assert "\n" not in str(caught.value)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    def test_a_cached_file_that_has_changed_is_refused(self, hub, monkeypatch, net, tmp_path):
        path = tmp_path / "it"
        torch.save(net.state_dict(), path)
        blob = path.rename(tmp_path / sha256_of(path))
        link = tmp_path / "pytorch_model.bin"
        link.symlink_to(blob)
        self.serve(hub, monkeypatch, {"pytorch_model.bin": str(link)})
        load_weights(net, "timm/convnext_tiny.fb_in1k")
        torch.save({n: v + 1 for n, v in net.state_dict().items()}, blob)
        with pytest.raises(RuntimeError, match=r"has changed since it was downloaded"):
            load_weights(net, "timm/convnext_tiny.fb_in1k")

    def test_without_the_library(self, monkeypatch, net):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match="pip install huggingface_hub"):
            load_weights(net, "facebook/convnext-tiny-224")


def test_an_address_is_downloaded_once_to_the_cache(net, saved, tmp_path, monkeypatch):
    path = saved(net.state_dict())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    fetched = []

    def fetch(url, target, limit, show):
        fetched.append((url, show))
        torch.save(torch.load(path), target)

    monkeypatch.setattr(cached_download, "fetch", fetch)
    for _ in range(2):
        report = load_weights(net, "https://host/convnext_tiny.pth")
    assert fetched == [("https://host/convnext_tiny.pth", True)]
    assert len(report.checksum) == 64


@pytest.mark.parametrize("key", ["model", "state_dict", "model_ema", "state_dict_ema"])
def test_unwraps(key, net):
    read = read_source({key: net.state_dict(), "epoch": 3})
    assert (read.key, read.left) == (key, ())
    assert read.state.keys() == net.state_dict().keys()
