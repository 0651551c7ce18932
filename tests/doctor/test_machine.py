"""Conflicting versions, a full disk, little shared memory and a slow loader are found by name."""

import shutil
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from convnext_dense.data.loading import LoadPicture
from convnext_dense.doctor import loading, resources, software
from convnext_dense.doctor.finding import Examination, Verdict

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def examination(tmp_path):
    return Examination(tmp_path, tmp_path / "work_dirs" / "not_yet")


def found_as(verdict, findings):
    return {f.name: f for f in findings if f.verdict is verdict}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that other versions are installed."""
    real = software.installed_version

    def pretend(**versions):
        own = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(software, "installed_version", lambda name: own.get(name, real(name)))

    return pretend


def test_this_machine(examination):
    assert found_as(Verdict.WRONG, software.check_software(examination)) == {}


def test_two_distributions_of_one_name(examination, installed):
    installed(mmcv="2.1.0", mmcv_lite="2.1.0")
    (finding,) = found_as(Verdict.WRONG, software.check_software(examination)).values()
    assert finding.name == "mmcv beside mmcv-lite"
    assert "pip uninstall mmcv mmcv-lite" in finding.remedy


@pytest.mark.parametrize(
    ("name", "version"), [("setuptools", "82.0.1"), ("mmdet", "2.28.2"), ("torch", "1.13.1")]
)
def test_a_version_that_does_not_fit(examination, installed, name, version):
    installed(**{name: version})
    wrong = found_as(Verdict.WRONG, software.check_software(examination))
    assert list(wrong) == [f"{name} {version}"]
    assert f"pip install '{name}" in wrong[f"{name} {version}"].remedy


def test_no_stack(examination, monkeypatch):
    real = software.installed_version
    stack = {name for names in software.STACK.values() for name in names}
    monkeypatch.setattr(software, "installed_version", lambda n: None if n in stack else real(n))
    absent = found_as(Verdict.ABSENT, software.check_software(examination))
    assert "convnext-dense[lite]" in absent["stack"].remedy


def test_a_full_disk(examination, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 10_000))
    wrong = found_as(Verdict.WRONG, resources.check_resources(examination))
    assert set(wrong) == {f"disk of {examination.folder}", "shared memory"}
    assert "make room" in wrong[f"disk of {examination.folder}"].remedy
    assert "shm_size" in wrong["shared memory"].remedy


def test_a_folder_that_takes_no_file(examination, monkeypatch):
    def refuse(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(resources, "write_whole", refuse)
    wrong = found_as(Verdict.WRONG, resources.check_resources(examination))
    assert "No space left" in wrong[f"disk of {examination.folder}"].detail


def test_little_memory_in_a_container(examination, monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("1000000000\n")
    monkeypatch.setattr(resources, "_MEMORY_LIMITS", (str(limit),))
    slow = found_as(Verdict.SLOW, resources.check_resources(examination))
    assert slow["memory"].detail.startswith("1.0 GB free")


def test_nothing_is_left_behind(examination):
    list(resources.check_resources(examination))
    assert not any(Path(examination.folder).iterdir())


@pytest.mark.slow
def test_a_slow_loader(examination, monkeypatch):
    read = LoadPicture.transform

    def slowly(self, results):
        time.sleep(0.4)
        return read(self, results)

    monkeypatch.setattr(LoadPicture, "transform", slowly)
    monkeypatch.setattr(loading, "PICTURES", 4)
    (finding,) = loading.check_loading(replace(examination, workers=0))
    assert finding.verdict is Verdict.SLOW and finding.name.startswith("data loader")
    assert finding.figures["one_process"] < loading.LEAST_RATE
