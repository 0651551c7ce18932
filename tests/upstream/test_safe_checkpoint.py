import argparse
import builtins
import os
import pickle
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint

from convnext_dense import upstream
from convnext_dense.checkpoints.resumable import require_resumable
from convnext_dense.checkpoints.source import read_source
from convnext_dense.upstream import safe_checkpoint
from convnext_dense.upstream.safe_checkpoint import (
    read_checkpoint,
)

from ..hostile import Call, save_as


@pytest.fixture(autouse=True)
def enabled():
    upstream.enable()


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), "cpu")


def test_training_state_of_mmengine_loads_with_equal_values(tmp_path):
    hub = MessageHub("state")
    for value in (1.5, 2.5, -1.0):
        hub.update_scalar("train/loss", value)
    info = dict(
        best=np.float64(0.25), half=np.float16(0.5), step=np.int64(7), done=np.bool_(True), name="x"
    )
    for key, value in info.items():
        hub.update_info(key, value)
    weight = torch.randn(2, 3)
    path = save_as(tmp_path / "a.pth", message_hub=hub.state_dict(), state_dict=dict(w=weight))

    loaded = load(path)
    assert torch.equal(loaded["state_dict"]["w"], weight)
    buffer = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.data[0].tolist() == [1.5, 2.5, -1.0]
    assert buffer.data[1].tolist() == [1, 1, 1]
    stats = {name: buffer.statistics(name) for name in ("mean", "max", "min", "current")}
    assert stats == dict(mean=1.0, max=2.5, min=-1.0, current=-1.0)
    read = loaded["message_hub"]["runtime_info"]
    assert dict(read) == info
    assert {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in info.items()}


def test_files_of_either_numpy_load(tmp_path):
    path = Path(save_as(tmp_path / "a.pth", history=HistoryBuffer([1.0, 2.0], [1, 1])))
    other = tmp_path / "b.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("data.pkl"):
                old, new = b"cnumpy.core.multiarray", b"cnumpy._core.multiarray"
                assert (old in data) != (new in data)
                data = data.replace(new, old) if new in data else data.replace(old, new)
            target.writestr(entry, data)
    assert load(other)["history"].data[0].tolist() == [1.0, 2.0]


def test_what_is_allowed_while_loading_is_not_allowed_afterwards(tmp_path):
    path = save_as(tmp_path / "a.pth", history=HistoryBuffer([1.0], [1]))
    load(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("function", "args", "named"),
    [
        (os.system, ("touch {trace}",), r"posix\.system"),
        (eval, ("open({trace!r}, 'w')",), "eval"),
        (exec, ("open({trace!r}, 'w')",), "exec"),
        (open, ("{trace}", "w"), r"io\.open|open"),
        (getattr, (os, "system"), r"__import__"),
        (getattr, (HistoryBuffer, "__init__"), r"builtins\.getattr"),
        (getattr, (HistoryBuffer, "mean.__globals__"), r"builtins\.getattr"),
        (getattr, (np.ndarray, "tofile"), r"builtins\.getattr"),
        (getattr, (torch.Tensor, "mean"), r"builtins\.getattr"),
        (builtins.__import__, ("os",), "__import__"),
    ],
)
def test_hostile_files_are_refused_and_run_nothing(tmp_path, trace, function, args, named, legacy):
    args = [a.format(trace=str(trace)) if isinstance(a, str) else a for a in args]
    # A module does not pickle itself, but a file can name one all the same.
    args = [Call(builtins.__import__, "os") if a is os else a for a in args]
    path = tmp_path / "evil.pth"
    torch.save(dict(a=Call(function, *args)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        RuntimeError, match=rf"evil\.pth is refused: it names (builtins\.)?({named})"
    ):
        load(path)


def test_a_method_reached_through_an_allowed_one_is_refused(tmp_path, trace):
    function = Call(getattr, Call(getattr, HistoryBuffer, "mean"), "__globals__")
    path = save_as(tmp_path / "evil.pth", a=function)
    with pytest.raises(RuntimeError, match=r"it names builtins\.getattr"):
        load(path)


def test_a_plain_pickle_is_refused_without_running_it(tmp_path, trace):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {trace}"), protocol=2))
    with pytest.raises(RuntimeError, match=r"evil\.pkl (is refused|could not be read)"):
        load(path)


def test_the_dtype_classes_cannot_be_asked_for_by_name(tmp_path):
    path = save_as(tmp_path / "a.pth", a=type(np.dtype("f8")))
    with pytest.raises(RuntimeError, match=r"is refused: it names numpy\.dtypes\.Float64DType"):
        load(path)


def damaged(tmp_path, kind):
    path = tmp_path / f"{kind}.pth"
    save_as(path, w=torch.randn(1000))
    contents = {
        "empty": b"",
        "truncated": path.read_bytes()[:2000],
        "page": b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:12",
        "pickle": b"\x80\x02garbage",
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "is empty"),
        ("truncated", "is truncated"),
        ("page", "is a web page"),
        ("text", "is not a PyTorch checkpoint"),
        ("pickle", "could not be read"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path, kind, says):
    path = damaged(tmp_path, kind)
    with pytest.raises(RuntimeError) as caught:
        load(path)
    assert str(caught.value).startswith(f"checkpoint {path} {says}")
    assert "\n" not in str(caught.value)


def test_a_zip_file_of_something_else_is_named_in_one_line(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(RuntimeError, match=r"^checkpoint .*a\.pth could not be read: [^\n]*$"):
        load(path)


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_a_missing_file_or_a_folder_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="is not a file here"):
        load(tmp_path / name)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_as(tmp_path / "a.pth", x=1)
    assert load("~/a.pth") == dict(x=1)


def test_what_others_keep_in_meta_stays(tmp_path):
    meta = dict(config="model = dict()", epoch=3)
    assert load(save_as(tmp_path / "a.pth", meta=meta, state_dict={}))["meta"] == meta


def test_what_the_user_allows_torch_to_load_loads_here(tmp_path, monkeypatch):
    path = save_as(tmp_path / "a.pth", meta=dict(third=Fraction(1, 3)))
    with pytest.raises(RuntimeError, match=r"it names fractions\.Fraction"):
        load(path)
    with torch.serialization.safe_globals([Fraction]):
        assert load(path)["meta"]["third"] == Fraction(1, 3)
        assert Fraction in torch.serialization.get_safe_globals()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert load(path)["meta"]["third"] == Fraction(1, 3)
    # The switch is for calls that do not say; this one says that it trusts nothing.
    with pytest.raises(RuntimeError, match=r"it names fractions\.Fraction"):
        read_checkpoint(path)


def test_what_torch_trusts_everywhere_it_trusts_in_mmengines_loads(tmp_path, monkeypatch):
    path = save_as(tmp_path / "a.pth", a=Call(Fraction, 1, 3), w=torch.ones(2))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "yes")
    assert load(path)["a"] == torch.load(path)["a"] == Fraction(1, 3)
    # What is older than the format that torch reads as data alone.
    old = tmp_path / "old.pth"
    torch.save(dict(a=1), old, pickle_protocol=0, _use_new_zipfile_serialization=False)
    assert load(old) == torch.load(old) == dict(a=1)
    # Damage is another matter.
    spoilt = bytearray(Path(path).read_bytes())
    spoilt[spoilt.index(torch.ones(2).numpy().tobytes())] ^= 1
    Path(path).write_bytes(spoilt)
    with pytest.raises(RuntimeError, match="is damaged"):
        load(path)


def test_a_resume_of_ours_trusts_nothing_whatever_torch_does(tmp_path, monkeypatch, trace):
    path = save_as(tmp_path / "evil.pth", a=Call(os.system, f"touch {trace}"))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for read in (require_resumable, read_source):
        with pytest.raises(RuntimeError, match="is refused"):
            read(path)


@pytest.mark.parametrize("read", [read_checkpoint, read_source])
def test_where_torch_trusts_nothing_no_word_helps(tmp_path, monkeypatch, trace, read):
    path = save_as(tmp_path / "evil.pth", a=Call(os.system, f"touch {trace}"))
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="or unset TORCH_FORCE_WEIGHTS_ONLY_LOAD") as caught:
        read(path, trust=True)
    assert "trust=True" not in str(caught.value)
    with pytest.raises(RuntimeError, match="is refused"):
        load(path)
    # As torch says it of its own loads.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="Only one of"):
        load(path)


@pytest.mark.slow
def test_threads_load_at_the_same_time(tmp_path):
    paths = [
        save_as(tmp_path / f"{i}.pth", history=HistoryBuffer([1.0 * i], [1])) for i in range(4)
    ]
    before = set(torch.serialization.get_safe_globals())
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load, paths * 60))
    assert [one["history"].data[0].tolist() for one in loaded] == [[0], [1], [2], [3]] * 60
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_hostile_file_of_a_local_model_zoo_is_refused(tmp_path, monkeypatch, trace):
    save_as(tmp_path / "evil.pth", a=Call(os.system, f"touch {trace}"))
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    monkeypatch.setattr("mmengine.runner.checkpoint.get_external_models", lambda: {"x": "evil.pth"})
    with pytest.raises(pickle.UnpicklingError):
        load("openmmlab://x")


def test_installing_twice_changes_nothing():
    before = dict(CheckpointLoader._schemes)
    upstream.enable()
    safe_checkpoint.mend(mmengine_checkpoint)
    assert dict(CheckpointLoader._schemes) == before


def test_load_checkpoint_of_mmengine_uses_it(tmp_path, trace):
    path = save_as(tmp_path / "evil.pth", a=Call(os.system, f"touch {trace}"))
    with pytest.raises(RuntimeError, match="is refused"):
        load_checkpoint(torch.nn.Linear(1, 1), path)


class TestSafetensors:
    @pytest.fixture
    def whole(self, tmp_path):
        save_file = pytest.importorskip("safetensors.torch").save_file
        save_file(dict(w=torch.arange(1000.0)), tmp_path / "a.safetensors")
        return tmp_path / "a.safetensors"

    def test_loads(self, whole):
        assert load(whole)["w"].tolist() == list(range(1000))

    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
    def test_renamed_files_are_told_by_their_content(self, whole, suffix, tmp_path):
        path = whole.rename(whole.with_suffix(suffix))
        with pytest.raises(RuntimeError, match=rf"is a safetensors file, but is called \*{suffix}"):
            load(path)
        save_as(tmp_path / "b.safetensors", w=1)
        with pytest.raises(RuntimeError, match=r"is a PyTorch file, but is called \*\.safetensors"):
            load(tmp_path / "b.safetensors")

    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (lambda data: data[:-100], "is truncated"),
            (lambda data: data[:30], "is truncated"),
            (lambda data: data[:8] + b"{not json" + data[17:], "could not be read: "),
            (lambda data: b"", "is empty"),
            (lambda data: b"hello", "is not a safetensors file"),
            (lambda data: b"\xff" * 100, "is not a safetensors file"),
        ],
    )
    def test_damaged_files_are_named_in_one_line(self, whole, damage, says):
        whole.write_bytes(damage(whole.read_bytes()))
        with pytest.raises(RuntimeError) as caught:
            load(whole)
        assert str(caught.value).startswith(f"checkpoint {whole} {says}")
        assert "\n" not in str(caught.value)

    def test_without_the_library(self, whole, monkeypatch):
        monkeypatch.setitem(sys.modules, "safetensors.torch", None)
        with pytest.raises(ImportError, match="pip install safetensors"):
            load(whole)


def test_a_mapped_file_reads_the_same(tmp_path):
    weight = torch.randn(100)
    for legacy in (False, True):
        path = tmp_path / f"{legacy}.pth"
        torch.save(dict(w=weight), path, _use_new_zipfile_serialization=not legacy)
        assert torch.equal(read_checkpoint(path, mmap=True)["w"], weight)


def test_arguments_of_a_training_script_are_plain_data(tmp_path):
    path = save_as(tmp_path / "a.pth", args=argparse.Namespace(lr=0.1, opt="adamw"))
    assert load(path)["args"] == argparse.Namespace(lr=0.1, opt="adamw")


def test_a_file_runs_what_it_contains_only_when_trusted(tmp_path):
    path = save_as(tmp_path / "a.pth", a=Call(os.mkdir, str(tmp_path / "ran")))
    with pytest.raises(RuntimeError, match="is refused"):
        read_checkpoint(path, mmap=True)
    assert not (tmp_path / "ran").exists()
    read_checkpoint(path, trust=True)
    assert (tmp_path / "ran").is_dir()
