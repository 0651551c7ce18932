"""Weights from the web: once, whole, and the same whenever they are used."""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from convnext_dense import cached_download
from convnext_dense.cached_download import download, load_from_http
from convnext_dense.files import WriteError
from convnext_dense.patches import enable
from convnext_dense.upstream import web_checkpoints
from convnext_dense.upstream.safe_checkpoint import load_from_local

from .hostile import Call, save_as


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), "cpu")


@pytest.fixture(autouse=True)
def enabled():
    enable()


def test_web_addresses_are_downloaded_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    whole = Path(save_as(tmp_path / "a.pth", x=1)).read_bytes()
    asked = []

    def fetch(url, path, limit, show):
        asked.append(url)
        path.write_bytes(whole)

    monkeypatch.setattr(cached_download, "fetch", fetch)
    digits = sha256(whole).hexdigest()[:8]
    urls = [f"https://host/a-{digits}.pth?raw=1", "https://host/b-20210531.pth"]
    for url in urls:
        assert load(url) == dict(x=1)
        assert load(url) == dict(x=1)
    assert asked == urls
    # As torch.hub would call it, and as sha256sum would record it.
    name = f"a-{digits}.pth"
    record = (tmp_path / "checkpoints" / f"{name}.sha256").read_text()
    assert record == f"{sha256(whole).hexdigest()}  {name}\n"


@pytest.mark.parametrize("recorded", [True, False])
def test_a_cached_file_that_has_changed_is_refused(tmp_path, recorded):
    source = Path(save_as(tmp_path / "a.pth", x=torch.arange(9)))
    digits = sha256(source.read_bytes()).hexdigest()[:8]
    source = source.rename(tmp_path / f"a-{digits}.pth")
    arguments = source.as_uri(), str(tmp_path / "cache")
    path = download(*arguments)
    assert download(*arguments) == path
    if not recorded:  # torch's own downloader was there; the name tells
        path.with_name(f"{path.name}.sha256").unlink()
        assert download(*arguments) == path
    save_as(path, x=torch.arange(8))  # a whole checkpoint, but another
    with pytest.raises(
        RuntimeError, match=r"has changed since it was downloaded.*delete it to download"
    ):
        download(*arguments)
    path.unlink()
    assert torch.equal(load_from_local(download(*arguments))["x"], torch.arange(9))


@pytest.mark.parametrize(
    "path",
    ["", "/", "/..", "/.", "/../..", "/%2e%2e%2fx.pth", "/a/", "/..%2f..%2fx.pth", "/.x.pth",
     "/x.pth.sha256", "/" + "y" * 300 + ".pth", "/" + "é" * 200 + ".pth", "/a.pth?/../../x",
     "/" + "a/../" * 9 + "-01234567.pth", "/\\x.pth", "/x." + "p" * 300],
)  # fmt: skip
def test_no_address_leaves_the_cache(path):
    name = cached_download._name_in_cache(f"https://host{path}")
    assert Path(name).name == name and name not in (".", "..")
    assert not name.startswith(".") and len(os.fsencode(f".{name}.part.from")) <= 255


def test_processes_and_threads_download_one_file_once(tmp_path, monkeypatch):
    source = Path(save_as(tmp_path / "a.pth", x=1))
    asked, real = [], cached_download.fetch
    monkeypatch.setattr(
        cached_download, "fetch", lambda *args, **kw: (asked.append(1), real(*args, **kw))
    )
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: download(source.as_uri(), str(tmp_path / "c")), range(40)))
    assert len(paths) == 1
    assert len(asked) == 1
    kept = [path.name for path in sorted((tmp_path / "c").iterdir())]
    assert kept == [paths.copy().pop().name, f"{paths.pop().name}.sha256"]


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    url = Path(save_as(tmp_path / "a.pth", x=1)).as_uri()
    with pytest.raises(WriteError, match=r"could not write .*file is a file, not a folder"):
        download(url, model_dir=str(tmp_path / "file"))


def test_a_failed_download_names_the_address(tmp_path):
    # No server listens at this port.
    url = "http://127.0.0.1:9/convnext_tiny_1k_224.pth"
    with pytest.raises(ConnectionError, match=r"could not download .*convnext_tiny"):
        load_from_http(url, model_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_hostile_download_is_refused(tmp_path, monkeypatch, trace):
    url = Path(save_as(tmp_path / "a.pth", a=Call(os.system, f"touch {trace}"))).as_uri()
    with pytest.raises(RuntimeError, match="is refused"):
        load_from_http(url, model_dir=str(tmp_path / "cache"))
    # It is whole: who trusts it need not get it anew.
    assert len(list((tmp_path / "cache").glob("*.pth"))) == 1


def test_every_scheme_of_mmengine_that_ends_on_the_web_is_safe():
    import mmengine.runner.checkpoint as mmengine_checkpoint

    ours = web_checkpoints.load_from_http
    assert mmengine_checkpoint.load_from_http is ours
    assert CheckpointLoader._get_checkpoint_loader("https://a/b.pth") is ours
    assert CheckpointLoader._get_checkpoint_loader("a/b.pth") is load_from_local


def test_files_of_one_name_are_kept_apart(tmp_path):
    files = [tmp_path / run / "epoch_12.pth" for run in "ab"]
    for file in files:
        file.parent.mkdir()
        save_as(file, run=file.parent.name)
    paths = [download(file.as_uri(), model_dir=str(tmp_path)) for file in files]
    assert [load(path)["run"] for path in paths] == ["a", "b"]
    assert all(path.name.startswith("epoch_12.") and path.suffix == ".pth" for path in paths)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "page"])
def test_a_download_that_is_cut_off_is_not_kept(tmp_path, kind):
    source = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    state = dict(w=torch.arange(1000.0))
    if kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, source)
    else:
        torch.save(state, source, _use_new_zipfile_serialization=kind != "legacy")
    whole = source.read_bytes()
    source.write_bytes(b"<html>log in first</html>" if kind == "page" else whole[:3000])
    arguments = source.as_uri(), "cpu", str(tmp_path / "cache")
    with pytest.raises(RuntimeError, match=rf"^could not download {source.as_uri()}: checkpoint a"):
        load_from_http(*arguments)
    assert list((tmp_path / "cache").iterdir()) == []
    source.write_bytes(whole)
    assert torch.equal(load_from_http(*arguments)["w"], state["w"])


@pytest.mark.parametrize("suffix", ["pth", "pt", "bin", "safetensors"])
def test_a_hash_in_the_name_is_checked(suffix, tmp_path):
    # As a proxy or a mirror could send other bytes than the publisher's.
    source = tmp_path / f"served-0123abcd.{suffix}"
    source.write_bytes(b"other bytes")
    with pytest.raises(RuntimeError, match=r"could not download .*0123abcd"):
        download(source.as_uri(), model_dir=str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failed_download_of_rank_0_releases_the_others(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(cached_download, "barrier", lambda: waited.append(True))
    with pytest.raises(ConnectionError):
        download("http://127.0.0.1:9/a.pth", model_dir=str(tmp_path))
    assert waited == [True]
