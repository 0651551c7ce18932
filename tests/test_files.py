"""Files that are written whole or not at all."""

from __future__ import annotations

import pytest

from convnext_dense.files import replacing


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_the_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "new folder" / "a.json"
    for content in ("first", "second"):
        with replacing(path) as part:
            part.write_text(content)
            assert part.suffix == ".json" and part.parent == path.parent
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == content
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_earlier_file_alone(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("earlier")
    with pytest.raises(error, match=r"^stopped$"), replacing(path) as part:
        part.write_text("half")
        raise error("stopped")
    assert path.read_text() == "earlier"
    assert names(tmp_path) == ["a.json"]


def test_the_message_names_file_reason_and_way_on(tmp_path):
    path = tmp_path / "a.json"
    expected = r"^could not write .*/a\.json: No space left on device; make room$"
    with pytest.raises(OSError, match=expected), replacing(path, "make room"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"could not write .*/file/a\.json: File exists; "),
        replacing(tmp_path / "file" / "a.json"),
    ):
        raise AssertionError("never reached")
