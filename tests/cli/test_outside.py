"""Names of pictures that would lead what a test writes out of its folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def listed(ade, tmp_path):
    """Lists of a copy of the data whose validation image is named by a path of its own."""
    root = tmp_path / "data"
    shutil.copytree(ade, root)

    def write(name: str) -> list[str]:
        for folder, suffix in (("images", ".jpg"), ("annotations", ".png")):
            target = root / folder / "validation" / f"{name}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / folder / "validation" / f"0{suffix}", target)
        (root / "list.txt").write_text(f"{name}\n")
        return ["--data-root", str(root), "--work-dir", "run"]

    return write


def everything() -> set[str]:
    return {str(path) for path in Path.cwd().rglob("*") if "run" not in path.parts}


@pytest.mark.parametrize(
    "name", ["../validation/9", "../../9", "a/../9", "../../../9", "a\\..\\..\\9"]
)
def test_a_data_list_leads_nowhere_else(cli, trained, listed, name):
    flags = listed(name)
    before = everything()
    option = "test_dataloader.dataset.ann_file=list.txt"
    argv = cli.argv("seg", trained["seg"] / "iter_6.pth", *flags, "--out", "maps", options=option)
    message = cli.refused("test", argv)
    assert message.startswith("--out: the image ")
    assert "leads out of maps: write names relative and without '..'" in message
    assert everything() - before <= {str(Path("maps").resolve())}


@pytest.mark.parametrize("link", ["maps/9.png", "maps/deep"])
def test_a_planted_link_is_not_followed(cli, trained, listed, link):
    name = "deep/9" if link == "maps/deep" else "9"
    flags = listed(name)
    Path("maps").mkdir()
    Path("elsewhere").mkdir()
    Path(link).symlink_to(Path("elsewhere").resolve() / ("" if "deep" in link else "new.png"))
    option = "test_dataloader.dataset.ann_file=list.txt"
    argv = cli.argv("seg", trained["seg"] / "iter_6.pth", *flags, "--out", "maps", options=option)
    assert f"maps/{name}.png leads out of maps through a symbolic link" in cli.refused("test", argv)
    assert not list(Path("elsewhere").iterdir())


@pytest.mark.parametrize("link", ["drawn/vis_data", "drawn/vis_data/vis_image/test_9.jpg_0.png"])
def test_a_drawing_follows_no_planted_link(cli, trained, listed, link):
    flags = listed("9")
    Path(link).parent.mkdir(parents=True)
    Path("elsewhere/vis_image").mkdir(parents=True)
    Path(link).symlink_to(Path("elsewhere", "" if "_0" not in link else "new.png").resolve())
    option = "test_dataloader.dataset.ann_file=list.txt"
    argv = [trained["seg"] / "iter_6.pth", *flags, "--show-dir", "drawn"]
    said = cli.refused("test", cli.argv("seg", *argv, options=option))
    assert re.search(r"drawn/vis_data/.* leads out of .*drawn through a symbolic link", said)
    assert [str(path) for path in Path("elsewhere").rglob("*")] == ["elsewhere/vis_image"]
