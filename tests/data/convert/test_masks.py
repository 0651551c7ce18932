"""Masks as colours and values: tables that other tools write, soft edges, what is refused."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from convnext_dense.data.convert.colour_table import find_colour_table, read_colour_table
from convnext_dense.data.convert.label_maps import draw, objects_in
from convnext_dense.data.convert.masks import MaskReader, scan
from convnext_dense.data.convert.objects import mask_of

ROAD, CAR, SKY = (128, 64, 128), (64, 0, 128), (70, 130, 180)
TABLE = {ROAD: "road", CAR: "car"}
SUPERVISELY = [
    dict(title="road", shape="polygon", color="#804080"),
    dict(title="car", color="#400080"),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:64,0,128:a,b:c\n",
        ),
        ("class_dict.csv", "name,r,g,b\nroad,128,64,128\ncar,64,0,128\n"),
        ("class_dict.csv", '\ufeff" name", r, g, b\r\nroad, 128, 64, 128\r\ncar,64,0,128\r\n'),
        ("classes.csv", "id;name;r;g;b\n0;road;128;64;128\n1;car;64;0;128\n"),
        ("label_colors.txt", "128 64 128\t\troad\n64 0 128\t\tcar\n"),
        ("colours.txt", "road 128 64 128\ncar 64 0 128\n"),
        ("colours.txt", "road #804080\ncar #400080\n"),
        ("colours.csv", "road,#804080\ncar,#400080\n"),
        ("meta.json", json.dumps(dict(classes=SUPERVISELY))),
        (
            "obj_class_to_machine_color.json",
            json.dumps({"road": [128, 64, 128], "car": [64, 0, 128]}),
        ),
        ("colours.json", json.dumps({"road": "#804080", "car": "#400080"})),
    ],
)
def test_tables_of_colours(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_colour_table(tmp_path / name) == TABLE


def test_names_of_several_words_and_numbers(tmp_path):
    file = tmp_path / "colours.csv"
    file.write_text("traffic light 2,1,2,3\n10 metres,4,5,6\n")
    assert read_colour_table(file) == {(1, 2, 3): "traffic light 2", (4, 5, 6): "10 metres"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "names no colour"),
        ("a.csv", "name,r,g,b\n", "names no colour"),
        ("a.csv", "road,128,64,128\ncar\n", "line 2 is 'car'"),
        ("a.csv", "road,300,64,128\n", "line 1 is"),
        ("a.csv", "road,1,2,3\ncar,1,2,3\n", "'road' and 'car' have one colour, (1, 2, 3)"),
        ("a.json", "{", "Expecting"),
        ("a.json", "[1]", "names no colour"),
        ("a.json", '{"road": "red"}', "the colour of 'road' is 'red'"),
        ("a.json", "[" * 100_000, "a.json"),
        ("a.csv", "\x00\x01", "names no colour"),
    ],
)
def test_tables_that_are_wrong(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="`colours`: ") as caught:
        read_colour_table(tmp_path / name)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_is_found_in_the_folder_or_one_below(tmp_path):
    assert find_colour_table(tmp_path) is None
    (tmp_path / "meta.json").write_text("{}")  # of something else
    assert find_colour_table(tmp_path) is None
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "labelmap.txt").write_text("")
    assert find_colour_table(tmp_path) == tmp_path / "b" / "labelmap.txt"
    (tmp_path / "class_dict.csv").write_text("")
    assert find_colour_table(tmp_path) == tmp_path / "class_dict.csv"


@pytest.fixture
def read(tmp_path):
    """Save a mask and read it; return its labels and what was remarked."""

    def call(picture, pixels=None, name="m.png", **kwargs):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(tmp_path / name, **kwargs)
        said = {}
        pixels = pixels or {**TABLE, (0, 0, 0): "void"}
        number = {"road": 1, "car": 2, "sky": 3}.get
        reader = MaskReader(pixels, number, lambda what, count: said.__setitem__(what, count))
        return reader.read(tmp_path / name), said

    return call


def mask(size=(60, 80)):
    """A road with a car on it, and a void; as labels and as colours."""
    truth = np.ones(size, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]]
    truth[np.hypot(y - 30, x - 40) < 18] = 2
    truth[:10] = 0
    return truth, np.array([(0, 0, 0), ROAD, CAR], np.uint8)[truth]


def test_colours_become_labels(read):
    truth, colours = mask()
    labels, said = read(colours)
    assert (labels == truth).all() and labels.dtype == np.uint8 and said == {}


def test_palettes_and_transparency(read):
    truth, colours = mask()
    paletted = Image.fromarray(truth)
    paletted.putpalette([0, 0, 0, *ROAD, *CAR])
    assert (read(paletted)[0] == truth).all()
    assert (read(paletted, {1: "road", 2: "car"})[0] == truth).all()
    alpha = np.where(truth == 2, 0, 255).astype(np.uint8)
    labels, _ = read(Image.fromarray(np.dstack([colours, alpha])))
    assert (labels == np.where(truth == 2, 0, truth)).all()


@pytest.mark.parametrize("quality", [75, 95])
def test_noise_of_jpeg_is_undone(read, quality):
    truth, colours = mask()
    labels, _ = read(colours, name="m.jpg", quality=quality, subsampling=0)
    inside = labels != 0
    assert (labels == truth)[inside].mean() > 0.97
    assert (inside | (truth == 0)).mean() > 0.9  # the rest are mixed colours along the edges


def test_soft_edges_are_unlabelled_and_counted(read):
    truth, colours = mask((240, 320))
    soft = Image.fromarray(colours).resize((160, 120), Image.Resampling.BILINEAR)
    labels, said = read(soft)
    half = truth[::2, ::2]
    assert ((labels == half) | (labels == 0)).mean() > 0.98
    ((what, count),) = said.items()
    assert "soft edges" in what and 0 < count < 400


def test_a_colour_that_the_table_lacks(read):
    _, colours = mask()
    colours[40:, :20] = SKY
    with pytest.raises(ValueError, match=r"has the colour \(70, 130, 180\) in 8\.3% of its pixels"):
        read(colours)


def test_a_photograph_is_no_mask(read):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    with pytest.raises(ValueError, match="between those of the table"):
        read(noise)


def test_values(read):
    values = np.zeros((4, 6), np.uint8)
    values[1], values[2], values[3] = 7, 9, 255
    labels, said = read(values, {7: "road", 0: "void"})
    assert labels[:, 0].tolist() == [0, 1, 0, 0]
    assert said == {"masks with the value 9, which no class has: these pixels are unlabelled": 6}
    labels, _ = read(values.astype(np.uint16) * 100, {700: "car"})
    assert labels[:, 0].tolist() == [0, 2, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_masks_that_cannot_be_read(tmp_path, content):
    if content is None:
        whole = io.BytesIO()
        Image.fromarray(mask()[1]).save(whole, "PNG")
        content = whole.getvalue()[:-200]
    (tmp_path / "m.png").write_bytes(content)
    reader = MaskReader(TABLE, {"road": 1}.get, lambda what, count: None)
    with pytest.raises(
        ValueError, match=r"^mask .*m\.png (cannot be decoded|is damaged)"
    ) as caught:
        reader.read(tmp_path / "m.png")
    assert "\n" not in str(caught.value)


def test_scan_finds_what_masks_hold(tmp_path):
    truth, colours = mask()
    paths = {name: tmp_path / f"{name}.png" for name in ("colours", "values", "binary", "one")}
    Image.fromarray(colours).save(paths["colours"])
    Image.fromarray(truth).save(paths["values"])
    Image.fromarray((truth == 2).astype(np.uint8) * 255).save(paths["binary"])
    Image.fromarray(truth == 2).save(paths["one"])
    found = {name: scan([path]) for name, path in paths.items()}
    assert found["colours"] == {(0, 0, 0): "#000000", CAR: "#400080", ROAD: "#804080"}
    assert found["values"] == {0: "class_0", 1: "class_1", 2: "class_2"}
    assert found["binary"] == {0: "background", 255: "foreground"}
    assert found["one"] == {0: "background", 1: "foreground"}


def test_scan_refuses_jpeg_with_the_most_frequent_colours(tmp_path):
    Image.fromarray(mask()[1]).save(tmp_path / "m.jpg", quality=60)
    with pytest.raises(
        ValueError, match=r"more than 254 colours.*`colours` \(the most frequent are #"
    ):
        scan([tmp_path / "m.jpg"])


def square(category, x, y, side):
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    return dict(category_id=category, segmentation=[corners], area=side * side)


def test_smaller_objects_lie_on_top():
    things = [square(3, 4, 4, 6), square(1, 0, 0, 20), square(2, 22, 0, 8), square(1, 22, 0, 8)]
    labels, hidden = draw(things, (32, 24), rest=9)
    expected = np.full((24, 32), 9)
    expected[:20, :20], expected[4:10, 4:10], expected[:8, 22:30] = 1, 3, 1
    assert (labels == expected).all() and hidden == 1


def test_objects_are_the_connected_parts_and_can_be_drawn_again():
    rng = np.random.default_rng(0)
    labels = np.zeros((90, 120), np.uint8)
    labels[5:40, 10:50], labels[15:25, 20:30] = 1, 0  # a hole
    labels[50:80, 10:40] = 2
    labels[80:85, 40:60] = 2  # touches at a corner
    labels[60:80, 70:110] = rng.integers(0, 2, (20, 40))
    found = list(objects_in(labels))
    objects = [one for one in found if one is not None]
    assert [one["category_id"] for one in objects].count(2) == 1
    drawn = np.zeros_like(labels)
    for one in objects:
        own = mask_of(one, (120, 90))
        y, x = np.nonzero(own)
        left, top, width, height = one["bbox"]
        assert (left, top) == (x.min(), y.min())
        assert (left + width, top + height) == (x.max() + 1, y.max() + 1)
        drawn[own] = one["category_id"]
    specks = sum(one is None for one in found)
    # A polygon's edge may differ by a pixel where pixels touch at a corner.
    assert specks and (drawn != labels).sum() < 10 * specks + 30
    assert (drawn[:59] == labels[:59]).all()
