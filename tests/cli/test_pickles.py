"""Data files and configs that would run code when they are loaded, given to the tools."""

from __future__ import annotations

import os
import pickle
from io import StringIO
from pathlib import Path

import mmengine
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convnext_dense.upstream.file_handlers import plain_files, trust_pickles

pytestmark = pytest.mark.slow


class Hostile:
    """Leaves a marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def hostile(tmp_path) -> tuple[Path, Path]:
    """A pickle, and what it makes where it is loaded."""
    file, marker = tmp_path / "hostile.pkl", tmp_path / "it_ran"
    file.write_bytes(pickle.dumps(Hostile(marker)))
    return file, marker


def place(tool: str) -> str:
    return "test_dataloader.dataset" if tool == "test" else "train_dataloader.dataset"


@pytest.mark.parametrize("key", ["ann_file", "proposal_file", "hierarchy_file", "meta_file"])
@pytest.mark.parametrize("tool", ["train", "test", "check", "show"])
def test_data_in_a_pickle_is_refused(cli, hostile, tool, key):
    file, marker = hostile
    option = f"{place(tool)}.{key}={file}"
    said = cli.refused(*command(cli, tool, "det", option))
    assert said.startswith(f"{place(tool)}.{key}='{file}' is a pickle, which can run any code")
    assert said.endswith("set trust_pickles=True in the config")
    assert not marker.exists()


def test_a_decoder_of_pickles_is_refused(cli):
    option = "train_dataloader.dataset.pipeline.0.decode_backend=pickle"
    said = cli.refused(*command(cli, "check", "seg", option))
    assert "train_dataloader.dataset.pipeline.0.decode_backend='pickle' is a pickle" in said


def test_a_pickle_of_another_suffix_is_refused_where_it_is_loaded(cli, hostile):
    file, marker = hostile
    other = file.rename(file.with_suffix(".bin"))
    with plain_files(), pytest.raises(ValueError, match="a data file is a pickle"):
        mmengine.load(str(other), file_format="pkl")
    assert not marker.exists()


def test_a_pickle_that_is_trusted_is_loaded(cli, shapes, tmp_path):
    proposals = tmp_path / "proposals.pkl"
    proposals.write_bytes(pickle.dumps({}))
    options = f"train_dataloader.dataset.proposal_file={proposals}"
    tool, argv = command(cli, "check", "det", options)
    assert "is a pickle" in cli.refused(tool, argv)
    status, _, err = cli.call(tool, [*argv, "trust_pickles=True"])
    assert (status, err) == (0, "")
    with plain_files():
        trust_pickles()
        assert mmengine.load(proposals) == {}


def command(cli, tool: str, kind: str, options: str) -> tuple[str, list[str]]:
    """Return a tool and the arguments that read the data of a kind."""
    # Of data sets that have other keys than ours.
    argv = cli.argv(kind, "--force-key", options.partition("=")[0], options=options)
    if tool in ("check", "show"):
        return "data", [tool, *argv]
    if tool == "test":
        Path("any.pth").touch()
        return "test", [argv[0], "any.pth", *argv[1:]]
    return "train", [*argv[:1], "--work-dir", "run", "--weights", "none", *argv[1:]]


TAGS = ["python/object/apply:os.mkdir", "python/object/new:os.mkdir", "python/name:os.system"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_config_in_yaml_runs_nothing(cli, tmp_path, tag):
    config = tmp_path / "a.yaml"
    config.write_text(f"model: !!{tag} [it_ran]\n")
    for tool, argv in (("train", [str(config)]), ("flops", [str(config)])):
        assert "not YAML of plain data" in cli.refused(tool, argv)
    assert not Path("it_ran").exists()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.tuples(inner) | st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(PLAIN)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_yaml_that_mmengine_writes_reads_back(content):
    text = mmengine.dump(content, file_format="yaml")
    with plain_files():
        assert mmengine.load(StringIO(text), file_format="yaml") == content
