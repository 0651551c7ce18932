"""Every field of every record with a wrong value: refused by its name, or the same data."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    "categories": ("id", "name"),
    "annotations": (
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "segmentation"),
    ),
}
# What a message may call it.
WORDS = {
    "segmentation": ("segmentation", "polygons", "run lengths"),
    "name": ("name", "its categories are"),
    "file_name": ("file_name", "images missing"),
}
MISSING = object()
WRONG = [
    *(MISSING, None, True, False, "", " ", "1", "zzzz", [], {}, [None], [1], [[1, 2]], [[]]),
    *(math.nan, math.inf, -math.inf, 0.5, -7, 10**30, -(10**30), {"size": [48, 64]}, [[[1, 2]]]),
    *([1, 2, 3, 4, 5], [True] * 4, ["1"] * 4, [math.nan] * 4, [[math.nan] * 6], [[1, 2, 3]]),
    *(
        [[4, 4, 24, 14]],
        [4, 4, 24, 4, 24, 14],
        [["4"] * 6],
        [[True] * 6],
        [[1e9] * 6],
        [4, 4, -1, 2],
    ),
    dict(size=[48, 64], counts=""),
    dict(size=[48, 64], counts="zzzz"),
    dict(size=[48, 64], counts="0"),
    dict(size=[48, 64], counts=[1]),
    dict(size=[48, 64], counts=[10**12]),
    dict(size=[48, 64], counts=[48 * 64 + 1, -1]),
    dict(size=[48, 64], counts=[True] * 48 * 64),
    dict(size=[48, 64], counts=None),
    dict(size=[64, 48], counts=[48 * 64]),
    dict(size=[48], counts=[48]),
    dict(size=["48", "64"], counts=[48 * 64]),
]
# Of a number: of another type or sign, but perhaps the same.
CHANGES = [float, str, bool, lambda value: -value, lambda value: [value], lambda value: value + 0.5]
# Of a list: one element wrong, absent, or too many.
PLACES = [None, True, "4", math.nan, math.inf, -math.inf, [4], {}, 1e9]
fuzzed = settings(
    max_examples=180,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def spoil_list(value, data):
    """Spoil one element of a list, or how many there are."""
    value = copy.deepcopy(value)
    inner = value["counts"] if isinstance(value, dict) else value
    inner = inner[0] if isinstance(inner[0], list) else inner
    how = data.draw(st.sampled_from(["replace", "drop", "add"]))
    place = data.draw(st.integers(0, len(inner) - 1))
    if how == "replace":
        inner[place] = data.draw(st.sampled_from(PLACES))
    elif how == "drop":
        del inner[place]
    else:
        inner.append(4)
    return value


@st.composite
def spoilt(draw, content):
    """Return the content with one field of one record spoilt, and which."""
    content = copy.deepcopy(content)
    kind = draw(st.sampled_from(sorted(FIELDS)))
    field = draw(st.sampled_from(FIELDS[kind]))
    record = content[kind][draw(st.integers(0, len(content[kind]) - 1))]
    old = record.get(field, 0)
    value = draw(st.sampled_from(WRONG))
    way = draw(st.sampled_from(["value", "value", "own"]))
    if way == "own" and isinstance(old, int):
        value = draw(st.sampled_from(CHANGES))(old)
    elif way == "own" and isinstance(old, list | dict):
        value = spoil_list(old, draw(st.data()))
    if value is MISSING:
        record.pop(field, None)
    else:
        record[field] = value
    return content, kind, field


@fuzzed
@given(data=st.data())
def test_annotations_are_refused_by_name_or_are_the_same(tools, data):
    expected = tools.expected
    content, kind, field = data.draw(spoilt(tools.good))
    tools.write(content)
    refused = {}
    for name, call in tools.calls.items():
        try:
            found = call()
        except (ValueError, FileNotFoundError) as error:
            refused[name] = str(error)
        else:
            assert found == expected[name], (name, kind, field)
    for name, message in refused.items():
        assert "instances_" in message, (name, message)
        assert any(word in message for word in WORDS.get(field, (field,))), (name, message)
    # Of these a tool may need less: a default, no masks, no pictures, no classes.
    if field not in ("iscrowd", "segmentation", "file_name", "name"):
        assert len(refused) in (0, len(tools.calls)), refused


@fuzzed
@given(data=st.data())
def test_results_are_refused_by_name_or_are_the_same(tools, data):
    good = json.loads(tools.results.read_text())
    expected = tools.expected["pycocotools"]
    results = copy.deepcopy(good)
    index = data.draw(st.integers(0, 1))
    field = data.draw(st.sampled_from(["image_id", "category_id", "score", "bbox", "segmentation"]))
    value = data.draw(st.sampled_from(WRONG))
    if value is MISSING:
        del results[index][field]
    else:
        results[index][field] = value
    tools.results.write_text(json.dumps(results))
    try:
        # Of a score only the order counts, and both are right.
        if field == "score" and type(value) in (int, float) and math.isfinite(value):
            return
        for name in ("pycocotools", "faster-coco-eval"):
            with pytest.raises(ValueError, match="results") as error:
                found = tools.calls[name]()
                assert found == pytest.approx(expected, abs=1e-6)
                raise ValueError(f"results: the same {field}")
            words = ("mask", "segmentation") if field == "segmentation" else (field,)
            assert any(word in str(error.value) for word in words)
    finally:
        tools.results.write_text(json.dumps(good))
