"""Conversions: nothing is lost in silence, nothing is added twice, and a failure leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.convert import pictures
from convnext_dense.data.convert.run import convert
from convnext_dense.data.formats.source import Loss, Object, Picture

pytestmark = pytest.mark.slow

BOX = (4.0, 6.0, 30.0, 26.0)
TRIANGLE = [(10.25, 8.5), (40.125, 12.0), (22.0, 40.75)]


def labels(number, *, prefix="p", classes=("cat", "dog")):
    return {
        f"{prefix}{i}.png": [
            (classes[i % len(classes)], TRIANGLE),
            (classes[0], [*TRIANGLE, (5, 30)]),
        ]
        for i in range(number)
    }


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_result_is_in_the_layout_of_the_recipes(fake, run):
    result = run(fake("src", labels(10)), split="60/20/20")
    out = result.converted.out
    assert {path.name for path in out.iterdir()} == {
        *("train", "val", "test", "annotations", "conversion.json")
    }
    assert [len(result.names(split)) for split in ("train", "val", "test")] == [6, 2, 2]
    assert {name for split in result.content for name in result.names(split)} == set(labels(10))
    for split, content in result.content.items():
        assert {path.name for path in (out / split).iterdir()} == set(result.names(split))
        assert content["categories"] == [dict(id=1, name="cat"), dict(id=2, name="dog")]
        assert [one["id"] for one in content["annotations"]] == list(
            range(1, len(content["annotations"]) + 1)
        )
    assert result.converted.read == result.converted.written == (10, 20)
    assert result.said() == {}
    first = result.annotations()[0]
    assert np.reshape(first["segmentation"], (-1, 2)) == pytest.approx(np.array(TRIANGLE))
    assert first["bbox"] == [10.25, 8.5, 29.875, 32.25] and first["iscrowd"] == 0
    x, y = np.array(TRIANGLE).T
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    assert first["area"] == pytest.approx(area, abs=1e-3)
    assert result.converted.train_arguments == dict(
        data_root=str(out),
        classes=("cat", "dog"),
        ann_train="annotations/instances_train.json",
        ann_val="annotations/instances_val.json",
    )


def test_pictures_are_linked_or_copied(fake, run, monkeypatch):
    source = fake("src", labels(4))
    linked = run(source, out="a").converted.out
    for path in (*linked.glob("train/*"), *linked.glob("val/*")):
        assert path.is_symlink() and path.readlink().is_absolute()
        assert path.samefile(source.root / path.name)
    copied = run(source, out="b", copy=True).converted.out
    for path in copied.glob("train/*"):
        assert not path.is_symlink()
        assert path.read_bytes() == (source.root / path.name).read_bytes()

    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    result = run(source, out="c")
    assert all(not path.is_symlink() for path in result.converted.out.glob("train/*"))
    assert result.said() == {"pictures were copied, since the result's file system has no links": 4}


def test_the_sources_own_splits_are_kept_or_cut_anew(fake, run):
    splits = {f"p{i}.png": "val" if i < 5 else "train" for i in range(10)}
    source = fake("src", labels(10), splits=splits)
    kept = run(source, out="a")
    assert set(kept.names("val")) == {f"p{i}.png" for i in range(5)}
    assert "the sources' own splits are kept: train, val" in kept.notes
    anew = run(source, out="b", split="80/20")
    assert len(anew.names("val")) == 2
    assert "the sources' own splits (train, val) are cut anew" in anew.notes
    with pytest.raises(ValueError, match=r"`group_by='p'` has nothing to cut"):
        run(source, out="c", group_by="p")


@pytest.mark.parametrize(
    ("given", "counts", "said"),
    [
        ([None] * 10, {"train": 8, "val": 2}, "have no splits: 80/20"),
        (["train"] * 8 + ["test"] * 2, {"train": 6, "val": 2, "test": 2}, "but no validation"),
        (["val"] * 10, {"train": 8, "val": 2}, "nothing to train on"),
        (["train", "val"] * 4 + [None] * 2, {"train": 6, "val": 4}, "without one are cut"),
    ],
)
def test_a_training_gets_its_two_splits(fake, run, given, counts, said):
    splits = {f"p{i}.png": split for i, split in enumerate(given)}
    result = run(fake("src", labels(10), splits=splits))
    assert result.converted.pictures == counts
    assert any(said in note for note in result.notes)


def test_a_test_split_may_have_no_labels_but_the_others_need_them(fake, run):
    splits = {f"p{i}.png": ("train", "val", "test")[i % 3] for i in range(9)}
    hidden = {name: [] if splits[name] == "test" else own for name, own in labels(9).items()}
    result = run(fake("src", hidden, splits=splits), out="a")
    assert result.converted.pictures == {"train": 3, "val": 3, "test": 3}
    assert any(note.startswith("test has no label") for note in result.notes)
    hidden = {name: [] if splits[name] == "val" else own for name, own in labels(9).items()}
    with pytest.raises(ValueError, match="val would have no label at all: `split` cuts otherwise"):
        run(fake("src", hidden, splits=splits), out="b")


def test_groups_stay_together(fake, run):
    names = {f"v{video}/f{frame}.png": [("cat", BOX)] for video in range(6) for frame in range(5)}
    result = run(fake("src", names), split="50/50", group_by=r"^(v\d+)/")
    groups = [{name.split("/")[0] for name in result.names(split)} for split in ("train", "val")]
    assert [len(one) for one in groups] == [3, 3] and not groups[0] & groups[1]
    assert "`group_by` makes 6 groups of 30 pictures" in result.notes


def test_the_cut_depends_on_the_seed_and_not_on_the_order(fake, run):
    one = run(fake("src", labels(12)), out="a", seed=1)
    other = run(fake("src", dict(reversed(labels(12).items()))), out="b", seed=1)
    assert set(one.names("val")) == set(other.names("val"))
    third = run(fake("src", labels(12)), out="c", seed=2)
    assert set(third.names("val")) != set(one.names("val"))


def test_a_class_that_a_split_lacks_is_said(fake, run):
    objects = labels(9) | {"rare.png": [("owl", BOX)]}
    assert "val has nothing of owl" in run(fake("src", objects)).notes


def test_sources_are_merged_and_classes_renamed_and_dropped(fake, run):
    one = fake("one", {"a.png": [("Car", BOX), ("bus", BOX)], "b.png": [("Car", BOX)]})
    other = fake("two", {"a.png": [("car", BOX), ("tram", BOX)], "c.png": [("car", BOX)]}, seed=1)
    result = run(one, other, rename={"Car": "car"}, drop=["bus"])
    assert result.converted.classes == ("car", "tram")
    assert result.converted.read == (4, 6) and result.converted.written == (4, 5)
    assert result.said() == {"objects of the dropped class 'bus'": 1}
    names = {name for split in result.content for name in result.names(split)}
    assert names == {"a.png", "b.png", "a-2.png", "c.png"}
    noted = run(one, other, out="noted").notes
    assert any("`rename={'car': 'Car'}` makes them one" in note for note in noted)


def test_what_the_reader_reports_is_counted(fake, run):
    losses = [Loss("circle became a polygon", f"{i}.json") for i in range(5)]
    losses += [Loss("objects of no area", "a.txt, line 3", objects=1, error=True)]
    losses += [Loss("pictures that cannot be read", "b.png", objects=2, error=True, pictures=1)]
    converted = run(fake("src", labels(4), losses=losses)).converted
    assert converted.read == (5, 11) and converted.written == (4, 8)
    assert [change.count for change in converted.changes] == [1, 1, 5]
    assert converted.changes[2].places == ["0.json", "1.json", "2.json"]
    lost = sum(change.objects for change in converted.changes)
    assert converted.read[1] - lost == converted.written[1]


def test_a_second_run_adds_nothing_twice(fake, run):
    first = run(fake("src", labels(10)))
    before = {split: set(first.names(split)) for split in first.content}
    files = tree(first.converted.out)
    again = run(fake("src", labels(10)))
    assert {split: set(again.names(split)) for split in again.content} == before
    assert again.converted.written == first.converted.written
    assert tree(first.converted.out) == files
    assert sum(again.said().values()) == 10 + 20


def test_other_sources_are_added_and_the_first_stay_where_they_are(fake, run):
    first = run(fake("one", labels(10)))
    before = {split: set(first.names(split)) for split in first.content}
    # Ten pictures of the first under other names, with a new class in one of them, and ten more.
    others = {f"x{i}.png": own for i, own in enumerate(labels(10).values())}
    others["x0.png"] = [*others["x0.png"], ("owl", (40.0, 4.0, 60.0, 20.0))]
    second = fake("two", others | labels(10, prefix="new"), seed=0)
    for i in range(10):
        (second.root / f"x{i}.png").write_bytes(
            (first.converted.out.parent / f"one/p{i}.png").read_bytes()
        )
    result = run(second)
    assert result.converted.classes == ("cat", "dog", "owl")
    assert result.converted.written == (20, 41)
    for split, names in before.items():
        assert names <= set(result.names(split))
    assert len(result.names("val")) == 4
    for split in result.content:
        for name in result.names(split):
            assert (result.converted.out / split / name).is_file()


def test_the_same_object_of_two_sources_is_one(fake, run):
    # VOC's whole numbers, beside a polygon; and an object that only the second has.
    rounded = (10.0, 8.0, 40.0, 41.0)
    one = fake("one", {"a.png": [("cat", rounded)], "b.png": [("cat", BOX)]})
    two = fake("two", {"a.png": [("cat", TRIANGLE), ("cat", (50.0, 30.0, 60.0, 40.0))]})
    result = run(one, two)
    assert result.converted.written == (2, 3)
    own = [one for one in result.annotations() if "segmentation" in one]
    assert len(own) == 1 and own[0]["bbox"] == [10.25, 8.5, 29.875, 32.25]
    assert not result.converted.masks and result.converted.train_arguments["box_only"] is True


def test_equal_pictures_of_one_source_stay_apart(fake, run):
    source = fake("src", labels(6))
    for name in labels(6):
        (source.root / name).write_bytes((source.root / "p0.png").read_bytes())
    assert run(source).converted.written == (6, 12)
    assert run(source).converted.written == (6, 12)


def test_names_cannot_leave_the_result(fake, run, tmp_path):
    source = fake("src", labels(4))
    hostile = ["../../escaped.png", "/tmp/escaped.png", "..\\..\\escaped.png", "a\n\x1b[31m.png"]

    class Hostile(type(source)):
        def pictures(self):
            for name, picture in zip(hostile, super().pictures(), strict=True):
                yield Picture(picture.path, name, *(64, 48), picture.objects)

    source.__class__ = Hostile
    result = run(source)
    names = {name for split in result.content for name in result.names(split)}
    assert names == {"escaped.png", "tmp/escaped.png", "escaped-2.png", "a__[31m.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"src", "out"}


def test_damaged_pictures_are_left_out_with_a_line(fake, run):
    source = fake("src", labels(6))
    whole = (source.root / "p3.png").read_bytes()
    (source.root / "p3.png").write_bytes(whole[: len(whole) // 2])
    noise = Image.new("RGB", (32, 32))
    noise.save(source.root / "p4.png")
    converted = run(source).converted
    assert converted.read == (6, 12) and converted.written == (4, 8)
    said = {change.what: (change.is_error, change.objects) for change in converted.changes}
    assert said == {
        "pictures that are damaged": (True, 2),
        "pictures of another size than their labels are for": (True, 2),
    }


def test_difficult_objects_are_ignored_as_coco_has_it(fake, run):
    source = fake("src", labels(4))

    class Difficult(type(source)):
        def pictures(self):
            for picture in super().pictures():
                hard = Object("cat", BOX, ignored=True)
                yield Picture(picture.path, picture.name, 64, 48, (*picture.objects, hard))

    source.__class__ = Difficult
    result = run(source)
    assert sum(one["iscrowd"] for one in result.annotations()) == 4
    assert result.said() == {
        "difficult objects: written as iscrowd, neither rewarded nor punished for": 4
    }


@pytest.mark.parametrize("failing", ["reading", "writing", "checking"])
def test_a_failure_leaves_nothing(fake, run, tmp_path, monkeypatch, failing):
    source = fake("src", labels(6))
    earlier = run(fake("other", labels(6), seed=9), out="earlier").converted.out
    before = {
        name: (earlier / name).read_bytes() for name in tree(earlier) if (earlier / name).is_file()
    }

    def fail(*args, **kwargs):
        raise ValueError("it failed")

    if failing == "reading":
        monkeypatch.setattr(type(source), "pictures", fail)
    elif failing == "writing":
        monkeypatch.setattr(pictures.shutil, "copyfile", fail)
    else:
        monkeypatch.setattr("convnext_dense.data.convert.run.verify", fail)
    for out in ("new", "earlier"):
        with pytest.raises(ValueError, match="it failed"):
            run(source, out=out, copy=True)
    assert {path.name for path in tmp_path.iterdir()} == {"src", "other", "earlier"}
    after = {
        name: (earlier / name).read_bytes() for name in tree(earlier) if (earlier / name).is_file()
    }
    assert after == before


def test_nothing_is_overwritten(fake, tmp_path):
    source = fake("src", labels(4))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a converted data set: name another folder"):
        convert([source], tmp_path / "mine")
    with pytest.raises(ValueError, match="is inside of the source"):
        convert([source], source.root / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="not a converted data set"):
        convert([source], tmp_path / "file")
    assert tree(tmp_path / "mine") == {"notes.txt"}


def test_a_conversion_that_was_interrupted_is_finished_by_the_next(fake, run, monkeypatch):
    first, second = fake("one", labels(6)), fake("two", labels(4, prefix="q", classes=("owl",)))
    want = [run(first, out="want"), run(second, out="want")][1]
    out = run(first).converted.out

    def die(added):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convnext_dense.data.convert.earlier.finish_adding", die)
        with pytest.raises(KeyboardInterrupt):
            run(second)
    got = run(second)
    assert f"{out} has now all of what a conversion that was interrupted was adding to it" in (
        got.notes
    )
    assert got.content == want.content and tree(out) == tree(want.converted.out)


def test_an_own_file_in_an_earlier_result_stays(fake, run):
    out = run(fake("one", labels(4))).converted.out
    (out / "train" / "notes.txt").write_text("mine")
    run(fake("two", labels(4, prefix="q")))
    assert (out / "train" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("objects", "more", "said"),
    [
        ({}, {}, "no picture has a label"),
        ({"a.png": []}, {}, "no picture has a label"),
        (labels(1), {}, "1 pictures or groups cannot be cut into 2 splits"),
        (labels(4), dict(to="masks"), "`to='masks'` is not one of label-maps, instances"),
        (labels(4), dict(split="10"), "give the shares"),
    ],
)
def test_what_makes_no_sense_is_one_line(fake, run, tmp_path, objects, more, said):
    with pytest.raises(ValueError) as caught:
        run(fake("src", objects), **more)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_class_names_that_an_argument_can_state(fake, run):
    result = run(fake("src", labels(4, classes=("a, b", "c"))))
    assert result.converted.classes == ("a b", "c")
    assert json.loads((result.converted.out / "conversion.json").read_text())["classes"] == [
        "a b",
        "c",
    ]
