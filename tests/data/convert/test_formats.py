"""Real formats, written and converted back: what survives, and what is reported as lost."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.formats.detect import open_source

from .writers import points_of, write_as

pytestmark = pytest.mark.slow


def by_file(result) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for content in result.content.values():
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for one in content["annotations"]:
            found[names[one["image_id"]]].append(one)
    return found


def corners(annotation):
    x, y, w, h = annotation["bbox"]
    return np.array([x, y, x + w, y + h])


@pytest.mark.parametrize("format", ["yolo", "labelme", "cvat"])
def test_polygons_survive(shared_data, tmp_path, run, format):
    written = write_as(format, shared_data / "droplets", tmp_path / "src", limit=3)
    source = open_source(tmp_path / "src")
    assert source.format == format
    result = run(source)
    assert result.converted.classes == ("droplet",) and result.converted.masks
    assert result.converted.read == result.converted.written == (6, len(written))
    assert result.converted.pictures == {"train": 3, "val": 3}
    back = by_file(result)
    for one in written:
        found = back[one["file"]].pop(0)
        assert points_of(found).shape == points_of(one).shape
        assert np.abs(points_of(found) - points_of(one)).max() < 0.5
        assert found["area"] == pytest.approx(one["area"], rel=0.02)


def test_voc_keeps_the_boxes_and_says_that_masks_are_gone(shared_data, tmp_path, run):
    written = write_as("voc", shared_data / "droplets", tmp_path / "src", limit=3)
    Image.new("P", (640, 512)).save(tmp_path / "map.png")
    folder = tmp_path / "src" / "SegmentationClass"
    folder.mkdir()
    (tmp_path / "map.png").rename(folder / f"{written[0]['file'].removesuffix('.jpg')}.png")
    result = run(open_source(tmp_path / "src"))
    back = by_file(result)
    for one in written:
        assert np.abs(corners(back[one["file"]].pop(0)) - corners(one)).max() <= 1
    assert not result.converted.masks and result.converted.train_arguments["box_only"]
    assert any("masks" in what or "label maps" in what for what in result.said())


def test_voc_with_maps_of_some_pictures(shared_data, tmp_path, run):
    """Boxes win, unless label maps are asked for; then pictures without one are left out."""
    write_as("voc", shared_data / "droplets", tmp_path / "src", limit=4)
    folder = tmp_path / "src" / "SegmentationClass"
    folder.mkdir()
    sizes = {}
    for file in sorted((tmp_path / "src" / "JPEGImages").iterdir())[::2]:
        values = np.zeros(Image.open(file).size[::-1], np.uint8)
        values[:50, :60] = 1
        sizes[file.stem] = values
        Image.fromarray(values).save(folder / f"{file.stem}.png")
    (tmp_path / "src" / "class_names.txt").write_text("_background_\ndroplet\n")
    boxes = run(open_source(tmp_path / "src"), out="a")
    assert boxes.converted.form == "instances" and boxes.converted.written[0] == 8
    maps = run(open_source(tmp_path / "src"), out="b", to="label-maps", split="50/50")
    assert maps.converted.written == (4, 0) and maps.converted.read == boxes.converted.read
    said = maps.said()
    assert said.pop("pictures without a label map") == 4
    assert list(said) == ["objects beside label maps are left out"]
    assert sum(change.objects for change in maps.converted.changes) == maps.converted.read[1]
    for name, labels in maps_of(maps.converted.out).items():
        assert ((labels == labels[0, 0]) == (sizes[name] == 1)).all()


def test_the_same_data_in_four_formats_is_one_data_set(shared_data, tmp_path, run):
    droplets = shared_data / "droplets"
    counts = {
        format: len(write_as(format, droplets, tmp_path / format, limit=2))
        for format in ("voc", "yolo", "labelme", "cvat")
    }
    result = run(*(open_source(tmp_path / format) for format in counts))
    number = counts["yolo"]
    assert result.converted.read == (4 * 4, 4 * number)
    assert result.converted.written == (4, number) and result.converted.masks


@pytest.mark.parametrize("given", ["", "annotations/instances.json", "data.yaml"])
@pytest.mark.parametrize("out", ["", "out", "images/train/out"])
def test_a_result_inside_of_a_source_is_refused(tmp_path, run, given, out):
    """Also where a file was given: of the folder that it describes, all pictures are read."""
    src = tmp_path / "src"
    for name in ("images/train", "annotations", "labels/train"):
        (src / name).mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(src / "images/train/a.png")
    if given.endswith(".json"):
        (src / given).write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    else:
        (src / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.2")
        (src / "data.yaml").write_text("names: [cat]\ntrain: images/train\n")
    before = sorted(src.rglob("*"))
    with pytest.raises(ValueError, match=f"is inside of the source {src}: name a folder outside"):
        run(open_source(src / given), out=f"src/{out}")
    assert sorted(src.rglob("*")) == before


@pytest.fixture
def scenes(tmp_path):
    """Write pictures with masks, as CamVid is passed around; return the labels by the name."""
    colours = np.array([(0, 0, 0), (128, 64, 128), (64, 0, 128)], np.uint8)
    truth = {}
    for split in ("train", "val"):
        for i in range(3):
            labels = np.ones((48, 64), np.uint8)
            labels[10 + 4 * i : 30, 8:28] = 2
            labels[:6] = 0
            picture = tmp_path / "src" / split / f"{split}{i}.jpg"
            mask = tmp_path / "src" / f"{split}_labels" / f"{split}{i}_L.png"
            for path, values in ((picture, labels[..., None] * 80), (mask, colours[labels])):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.broadcast_to(values, (48, 64, 3)).astype(np.uint8)).save(path)
            truth[f"{split}{i}"] = labels
    text = "name,r,g,b\nVoid,0,0,0\nroad,128,64,128\ncar,64,0,128\n"
    (tmp_path / "src" / "class_dict.csv").write_text(text)
    return truth


def maps_of(out) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in out.glob("annotations/*/*.png")}


def test_colours_become_label_maps(scenes, tmp_path, run):
    result = run(open_source(tmp_path / "src"))
    out = result.converted.out
    assert (result.converted.form, result.converted.classes) == ("label-maps", ("road", "car"))
    assert any("#804080 road" in note and "class_dict.csv" in note for note in result.notes)
    assert any(note.startswith("Void: taken for unlabelled") for note in result.notes)
    maps = maps_of(out)
    assert maps.keys() == scenes.keys()
    assert all((maps[name] == scenes[name]).all() for name in scenes)
    assert {path.name for path in (out / "images" / "training").iterdir()} == {
        f"train{i}.jpg" for i in range(3)
    }
    assert result.converted.train_arguments == dict(data_root=str(out), classes=("road", "car"))
    again = run(open_source(tmp_path / "src"))
    assert again.converted.written == (6, 0)
    assert all((maps_of(out)[name] == scenes[name]).all() for name in scenes)


def test_a_given_table_wins_and_without_any_the_colours_have_names(scenes, tmp_path, run):
    table = tmp_path / "mine.csv"
    table.write_text("nothing,0,0,0\nstreet,128,64,128\nauto,64,0,128\n")
    given = run(open_source(tmp_path / "src"), out="a", colours=table)
    assert given.converted.classes == ("nothing", "street", "auto")
    (tmp_path / "src" / "class_dict.csv").unlink()
    found = run(open_source(tmp_path / "src"), out="b", rename={"#804080": "road"})
    assert found.converted.classes == ("#000000", "#400080", "road")
    assert any("no table of colours was found" in note for note in found.notes)


def test_label_maps_become_objects_and_come_back(scenes, tmp_path, run):
    instances = run(open_source(tmp_path / "src"), out="a", to="instances")
    assert instances.converted.written == (6, 12) and instances.converted.masks
    maps = run(open_source(instances.converted.out), out="b", to="label-maps")
    assert maps.converted.classes == ("background", "road", "car")
    expected = {name: labels + 1 for name, labels in scenes.items()}
    back = maps_of(maps.converted.out)
    assert all((back[name] == expected[name]).all() for name in expected)


def write_maps(root, values, names=None, suffix=".png"):
    rng = np.random.default_rng(0)
    for i in range(4):
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(picture).save(root / "images" / f"{i}{'.png' if i else suffix}")
        mask = np.full((48, 64), values[0], np.uint8)
        mask[10:30, 10:30] = values[1]
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    if names:
        (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.mark.parametrize(
    ("names", "classes"),
    [(None, ("background", "foreground")), (["background", "cell"], ("background", "cell"))],
)
def test_black_and_white_masks(tmp_path, run, names, classes):
    write_maps(tmp_path / "src", (0, 255), names)
    result = run(open_source(tmp_path / "src"))
    assert result.converted.classes == classes
    for labels in maps_of(result.converted.out).values():
        assert (labels[0, 0], labels[20, 20]) == (1, 2)


def test_a_damaged_mask_leaves_its_picture_out(tmp_path, run):
    write_maps(tmp_path / "src", (0, 1), ["cell"])
    for i, content in enumerate((b"", b"no picture")):
        (tmp_path / "src" / "masks" / f"{i}.png").write_bytes(content)
    (tmp_path / "src" / "classes.txt").unlink()
    result = run(open_source(tmp_path / "src", "label-maps"))
    assert result.converted.read == (4, 0) and result.converted.written == (2, 0)
    (change,) = result.converted.changes
    assert change.is_error and (change.count, change.pictures) == (2, 2)
    assert "masks/0.png cannot be decoded" in change.places[0]


def test_one_class_gets_a_background_to_be_told_from(tmp_path, run):
    write_maps(tmp_path / "src", (0, 1), ["cell"])
    result = run(open_source(tmp_path / "src"), out="a")
    assert result.converted.classes == ("background", "cell")
    assert {tuple(np.unique(labels)) for labels in maps_of(result.converted.out).values()} == {
        (1, 2)
    }
    with pytest.raises(ValueError, match="label maps of one class, cell, teach nothing"):
        run(open_source(tmp_path / "src"), out="b", drop=["background"])


def test_pictures_of_several_endings_get_one(tmp_path, run):
    write_maps(tmp_path / "src", (1, 2), ["wall", "door"], suffix=".bmp")
    result = run(open_source(tmp_path / "src"))
    assert {path.suffix for path in result.converted.out.glob("images/*/*")} == {".png"}
    assert result.said() == {"pictures named .png, since mmseg reads one ending alone": 1}


def test_objects_without_an_outline_cannot_be_drawn(fake, run):
    labels = {
        f"{i}.png": [("cat", (4.0, 4.0, 20.0, 20.0)), ("dog", [(30, 4), (60, 4), (40, 40)])]
        for i in range(4)
    }
    result = run(fake("src", labels), to="label-maps")
    assert result.said() == {
        "boxes without an outline: there is nothing to draw into a label map": 4
    }


def test_objects_and_label_maps_want_to_be_told_which(fake, scenes, tmp_path, run):
    boxes = fake("boxes", {f"{i}.png": [("cat", (4.0, 4.0, 20.0, 20.0))] for i in range(4)})
    with pytest.raises(ValueError, match=r"has objects and .* has label maps: say by `to`"):
        run(boxes, open_source(tmp_path / "src"))


def test_a_turned_photograph_is_right_for_the_loader(tmp_path, run):
    """A label on the left of the picture as it is shown lies there in the result."""
    from convnext_dense.data.loading import LoadPicture

    shapes = [
        dict(label="red", points=[[5, 10], [25, 10], [25, 30], [5, 30]], shape_type="polygon")
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(4):
        shown = np.zeros((64, 48, 3), np.uint8)
        shown[10:30, 5:25, 0] = 255
        stored = Image.fromarray(shown).rotate(90, expand=True)
        (tmp_path / "src").mkdir(exist_ok=True)
        stored.save(tmp_path / "src" / f"{i}.png", exif=exif)
        content = dict(shapes=shapes, imagePath=f"{i}.png", imageWidth=48, imageHeight=64)
        (tmp_path / "src" / f"{i}.json").write_text(json.dumps(content))
    result = run(open_source(tmp_path / "src"))
    for split, content in result.content.items():
        for image in content["images"]:
            path = result.converted.out / split / image["file_name"]
            loaded = LoadPicture().transform(dict(img_path=str(path)))["img"]
            assert loaded.shape[:2] == (image["height"], image["width"]) == (64, 48)
            x, y, w, h = (round(side) for side in content["annotations"][0]["bbox"])
            red = loaded[..., 2] > 127
            assert red[y : y + h, x : x + w].all() and red.sum() == w * h == 400
