"""Work directories that somebody sent: their config is read and not run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from convnext_dense.config.plain_config import read_plain_config
from convnext_dense.report.run import read_run
from convnext_dense.report.validation import ReportOptions, validate

MARKER = "it_ran"
RUNS = f"__import__('os').mkdir({MARKER!r})"
HOSTILE = [
    f"a = {RUNS}",
    f"{RUNS}",
    f"a = dict(b=[{RUNS}])",
    f"import os\na = os.mkdir({MARKER!r})",
    f"a = [{RUNS} for _ in (1,)]",
    f"a = (lambda: {RUNS})()",
    f"a = f'{{{RUNS}}}'",
    f"a = dict(**{RUNS})",
    f"a = {{**{RUNS}}}",
    f"@{RUNS}.x\ndef a(): pass",
    f"class A:\n    {RUNS}",
    f"if {RUNS}: pass",
    f"_base_ = {RUNS}",
    f"a: {RUNS} = 1",
    f"a = float({RUNS})",
    f"x[{RUNS}] = 1",
    f"a = {{{RUNS}}}",
    f"a = -{RUNS}",
    "_base_ = ['other.py']",
    "a = " + "(" * 400 + ")" * 400,
    "a = 1 +",
    "a = '\ud800'",
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_would_have_to_be_run_is_not_read(tmp_path, text):
    file = tmp_path / "config.py"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ValueError, match=r"config\.py"):
        read_plain_config(file)
    assert not Path(MARKER).exists()


def test_the_message_names_the_line(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("a = 1\n\nb = dict(c=open('x'))\n")
    with pytest.raises(ValueError, match=r"config\.py, line 3: \"open\('x'\)\" is not plain data"):
        read_plain_config(file)


NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True).map(lambda name: f"k_{name}")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(NAMES, VALUES, max_size=3))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_what_mmengine_writes_is_read_as_mmengine_reads_it(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("config") / "config.py"
    text = "".join(f"{name} = {value!r}\n" for name, value in content.items())
    file.write_text(text, encoding="utf-8")
    assert read_plain_config(file).to_dict() == Config.fromfile(file).to_dict() == content


@pytest.mark.slow
def test_a_recipe_that_was_dumped_is_read(tmp_path):
    root = Path(__file__).parents[2]
    original = Config.fromfile(root / "configs/det/cascade_convnext_t_coco.py")
    original.dump(tmp_path / "dumped.py")
    assert read_plain_config(tmp_path / "dumped.py").to_dict() == original.to_dict()


def look(made, **options) -> object:
    run = read_run(made.folder)
    return validate(run, ReportOptions(**options), lambda done, of: None)


def rewrite(made, old: str, new: str) -> None:
    file = made.folder / "20260131_120000/vis_data/config.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("text", [RUNS, "import evil", "from evil import *"])
def test_a_config_that_was_sent_is_not_run(detector, text):
    file = detector.folder / "20260131_120000/vis_data/config.py"
    file.write_text(f"{text}\n{file.read_text()}")
    run = read_run(detector.folder)
    assert run.config is None
    assert "could not be read without running it" in run.problems[0]
    with pytest.raises(
        ValueError, match=r"not plain data; where you trust its author, `trust=True`"
    ):
        look(detector)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize(
    "kind",
    ["os.mkdir", "mmengine.fileio.io.osp.os.mkdir", "mmengine.utils.mkdir_or_exist", "evil.A"],
)
def test_a_type_that_is_no_class_of_the_stack_is_not_called(detector, monkeypatch, kind):
    # Where modules are looked for, as with PYTHONPATH=. in the folder of what was sent.
    Path("evil").mkdir()
    Path("evil/registry.py").write_text(RUNS)
    Path("evil/__init__.py").write_text(RUNS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path.cwd())])
    rewrite(
        detector, 'type="CocoDataset",', f"type={kind!r}, path={MARKER!r}, dir_name={MARKER!r},"
    )
    with pytest.raises(ValueError, match="there is no data set"):
        look(detector)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize(
    "line, said",
    [
        ("custom_imports = dict(imports=['evil'])", "custom_imports name 'evil'"),
        ("custom_imports = dict(imports='evil.registry')", "custom_imports name 'evil.registry'"),
        (
            "model = dict(cmc=dict(type='CameraMotionCompensation', warp_mode='1/0'))",
            "CameraMotionCompensation",
        ),
        (
            "trust_pickles = True\ntest_dataloader = dict(dataset=dict(ann_file='a.pkl'))",
            "'a.pkl' is a pickle",
        ),
    ],
)
def test_a_config_that_names_code_is_refused(detector, line, said):
    file = detector.folder / "20260131_120000/vis_data/config.py"
    file.write_text(f"{file.read_text()}\n{line}\n")
    with pytest.raises(ValueError, match="the config is not trusted: ") as error:
        look(detector)
    assert said in str(error.value)


@pytest.mark.slow
def test_a_config_that_is_trusted_is_run(detector):
    file = detector.folder / "20260131_120000/vis_data/config.py"
    file.write_text(f"{RUNS}\n{file.read_text()}")
    assert look(detector, trust=True).images == 4
    assert Path(MARKER).is_dir()
