"""A picture that cannot be used is refused by name, in the same words by every tool."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

pytestmark = pytest.mark.slow


@pytest.fixture
def own(shapes, ade, tmp_path):
    """Copies of the data sets that a test may spoil."""
    for root in (shapes, ade):
        shutil.copytree(root, tmp_path / root.name)
    return tmp_path


def damage(path):
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=95)
    content = path.with_suffix(".jpg").read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3] + b"\xff\xd9")


def test_a_damaged_picture(cli, trained, own):
    root = own / "shapes"
    first = {}
    for split in ("train", "val"):
        content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
        first[split] = root / split / content["images"][0]["file_name"]
        damage(first[split])
    flags = ["--data-root", root, "--work-dir", "w"]
    words = "the picture is damaged or cut off (Corrupt JPEG data: premature end of data segment)"
    said = cli.refused("train", cli.argv("det", *flags, "--weights", "none", workers=True))
    assert said.startswith(f"{first['train']}: {words}")
    checkpoint = trained["det"] / "epoch_3.pth"
    said = cli.refused("test", cli.argv("det", checkpoint, *flags))
    assert said.startswith(f"{first['val']}: {words}")
    (config,) = trained["det"].glob("*.py")
    argv = [config, checkpoint, root / "val", "--device", "cpu", "--score", "0.9"]
    status, _, err = cli.call("infer", list(map(str, argv)))
    assert status == 1
    assert f"{first['val']}: {words}" in " ".join(err.split())


def test_an_image_that_is_turned_and_its_label_map_is_not(cli, own):
    root = own / "ade"
    for image in (root / "images" / "training").iterdir():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        Image.open(image).save(image, exif=exif)
    flags = ["--data-root", root, "--work-dir", "w", "--weights", "none"]
    said = cli.refused("train", cli.argv("seg", *flags))
    assert (
        "measures 80 x 64, but its image" in said and "64 x 80: label maps are not turned" in said
    )


def test_the_config_of_a_run_names_the_transforms_of_mmcv(trained):
    for work_dir in trained.values():
        (config,) = work_dir.glob("*.py")
        assert "LoadImageFromFile" in config.read_text()
        assert "LoadPicture" not in config.read_text()


def test_label_maps_of_black_and_white(cli, own):
    root = own / "ade"
    for file in (root / "annotations" / "training").iterdir():
        labels = np.where(np.array(Image.open(file)) == 3, 255, 0)
        Image.fromarray(labels.astype(np.uint8)).save(file)
    flags = ["--data-root", root, "--work-dir", "w", "--weights", "none"]
    said = cli.refused("train", cli.argv("seg", *flags))
    assert said.startswith("none of the 6 label maps of") and "has a labelled pixel" in said
