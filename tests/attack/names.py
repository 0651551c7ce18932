"""Names of classes, files and parameters that escape a folder, a terminal, a table or a page."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from ground import SHAPES, Ground
from harness import Case, Outcome, check, run
from judges import CONTROL, undisturbed
from kills import load
from PIL import Image

TITLE = "hostile names"
RIGHT = (
    "Nothing is written outside of the output folder, no control character reaches the terminal "
    "raw, no cell of a table begins as a formula, no tag of a name becomes one of the report's "
    "page; the tool does its work or ends in one line."
)
SAMPLE = 4  # cases in make test
CLASSES = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "back\x08space",
    "over\rwritten",
    "two\nlines",
    "null\x00byte",
    "\x9b31m",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../../../PWNED",
    "/tmp/PWNED",
    "a/b",
    "..",
    "\u202etxt.exe",
    "x" * 5000,
)
FILES = (
    "../../PWNED.jpg",
    "../PWNED.jpg",
    "sub/../../PWNED.jpg",
    "{folder}/outside/PWNED.jpg",
    "link/PWNED.jpg",
    "\x1b[31mred.jpg",
    "two\nlines.jpg",
    "=1+1.jpg",
    "<b>bold</b>.jpg",
    "a\x07bell.jpg",
)
PARAMETERS = (
    "\x1b[2Jweight",
    "two\nlines.weight",
    "../../PWNED",
    "=1+1",
    "<script>",
    "a" * 10_000,
    "backbone.\x9b31mweight",
    "null\x00.weight",
)


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all names."""
    listed = []
    for nth, name in enumerate(CLASSES):
        for tool in ("test", "evaluate", "report", "data"):
            attack = _class(ground, name, tool)
            listed.append(Case(f"names/class-{tool}-{nth:02}", attack))
    for nth, name in enumerate(FILES):
        for tool in ("test", "data", "infer"):
            attack = _file(ground, name, tool)
            listed.append(Case(f"names/file-{tool}-{nth:02}", attack))
    for nth, name in enumerate(FILES):
        listed.append(Case(f"names/list-{nth:02}", _data_list(ground, name)))
    for nth, name in enumerate(PARAMETERS):
        listed.append(Case(f"names/parameter-{nth:02}", _parameter(ground, name)))
    return listed


def _quiet(outcome: Outcome, outside: Path | None = None) -> None:
    undisturbed(outcome)
    check(outcome.status in (0, 1, 2), outcome)
    found = CONTROL.search(outcome.out + outcome.err)
    check(not found, f"a raw {found and found[0]!r} reaches the terminal: {outcome}")
    escaped = [path for path in (outside.rglob("*PWNED*") if outside else ()) if path.is_file()]
    check(not escaped, f"it writes {escaped}")


def _tables(folder: Path) -> None:
    for path in folder.rglob("*.csv"):
        with path.open(newline="") as lines:
            for row in csv.reader(lines):
                for cell in row:
                    check(not _is_formula(cell), f"{path.name} has the cell {cell[:50]!r}")


def _is_formula(cell: str) -> bool:
    if re.fullmatch(r"-?(?:nan|inf|[\d.]+(?:e[+-]?\d+)?)", cell):
        return False
    return cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def _pages(folder: Path) -> None:
    for path in folder.rglob("*.html"):
        text = path.read_text(errors="replace")
        for tag in ("<script>alert", "<img src=x", "<b>bold"):
            check(tag not in text, f"{path.name} has the tag {tag}")


def _class(ground: Ground, name: str, tool: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        inner = folder / "one" / "two"
        inner.mkdir(parents=True)
        root = inner / "data"
        shutil.copytree(ground.det_data, root)
        for file in (root / "annotations").iterdir():
            content = json.loads(file.read_text())
            content["categories"][0]["name"] = name
            file.write_text(json.dumps(content))
        config = inner / "config.py"
        # A config can hold any name, a command line some.
        classes = (name, *SHAPES[1:])
        lines = [ground.configs["det"].read_text(), f"_classes = {classes!r}\n"]
        data = "dict(dataset=dict(data_root={root!r} + '/', metainfo=dict(classes=_classes)))"
        lines += [
            f"{split}_dataloader.update({data.format(root=str(root))})\n"
            for split in ("train", "val", "test")
        ]
        config.write_text("".join(lines))
        flags = ["--ann-train", "annotations/instances_train.json", "--img-size", 96]
        flags += ["--ann-val", "annotations/instances_val.json", "--data-root", root]
        checkpoint = _with_classes(ground.last["det"], inner / "c.pth", classes)
        truth = root / "annotations" / "instances_val.json"
        work_dir = inner / "w"
        if tool == "test":
            pictures = ("--show-dir", inner / "pictures", "--out", inner / "found.json")
            calls = [("test", [config, checkpoint, *flags, "--work-dir", work_dir, *pictures])]
        elif tool == "data":
            sample = ("-o", inner / "samples.png")
            calls = [
                ("data", ["check", config, *flags]),
                ("data", ["show", config, *flags, *sample]),
            ]
        elif tool == "evaluate":
            found = inner / "found.json"
            found.write_text(json.dumps(_results(json.loads(truth.read_text()))))
            calls = [("evaluate", ["coco", found, truth, "--per-class", "-o", work_dir])]
        else:
            shutil.copytree(ground.runs["det"], work_dir)
            for file in [*work_dir.glob("*.py"), *work_dir.glob("*/vis_data/config.py")]:
                file.write_text(file.read_text().replace("'circle'", repr(name)))
            (work_dir / "metrics.json").write_text(json.dumps(dict(metrics=dict(bbox_mAP=0.5))))
            with (work_dir / "per_class.csv").open("w", newline="") as stream:
                csv.writer(stream).writerows([["class", "AP"], [name, 0.5]])
            calls = [("report", [work_dir, "-o", inner / "report.html"])]
        for called, argv in calls:
            _quiet(run(called, argv, inner), folder)
        if tool != "report":  # whose table was given
            _tables(inner)
        _pages(inner)

    return attack


def _with_classes(source: Path, to: Path, classes: tuple[str, ...]) -> Path:
    import torch

    checkpoint = load(source)
    checkpoint["meta"]["dataset_meta"]["classes"] = classes
    torch.save(checkpoint, to)
    return to


def _results(truth: dict) -> list[dict]:
    keys = ("image_id", "category_id", "bbox")
    return [dict({key: a[key] for key in keys}, score=0.9) for a in truth["annotations"]]


def _file(ground: Ground, name: str, tool: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        inner = folder / "one" / "two"
        root = inner / "data"
        (folder / "outside").mkdir()
        shutil.copytree(ground.det_data, root)
        (root / "val" / "sub").mkdir()
        (root / "val" / "link").symlink_to(folder / "outside")
        full = name.format(folder=folder)
        file = root / "val" / full
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "val" / "000001.jpg", file)
        annotations = root / "annotations" / "instances_val.json"
        content = json.loads(annotations.read_text())
        content["images"][1]["file_name"] = full
        annotations.write_text(json.dumps(content))
        flags = [str(root) if f == str(ground.det_data) else f for f in ground.flags["det"]]
        config, last, out = ground.configs["det"], ground.last["det"], inner / "out"
        if tool == "test":
            written = ("--show-dir", out / "pictures", "--out", out / "found.json")
            argv = [config, last, *flags, "--work-dir", out / "w", *written]
        elif tool == "data":
            argv = ["show", config, *flags, "--split", "val", "-o", out / "samples.png"]
        else:
            trained = ground.runs["det"] / "tiny_det.py"
            written = ("-o", out, "--save", "json,pictures")
            argv = [trained, last, root / "val", file, *written]
        before = set(folder.rglob("*"))
        outcome = run(tool, argv, inner)
        _quiet(outcome)
        _within(out, set(folder.rglob("*")) - before, outcome)
        _tables(inner)

    return attack


def _within(out: Path, new: set[Path], outcome: Outcome) -> None:
    escaped = [path for path in new if not path.is_relative_to(out)]
    check(not escaped, f"it writes {escaped}; {outcome}")


def _data_list(ground: Ground, name: str) -> Callable[[Path], None]:
    """Name a picture in a segmenter's data list, so that predictions are named by it."""

    def attack(folder: Path) -> None:
        inner = folder / "one" / "two"
        root = inner / "data"
        (folder / "outside").mkdir()
        shutil.copytree(ground.seg_data, root)
        stem = name.format(folder=folder).removesuffix(".jpg")
        for part, ending in (("images", "jpg"), ("annotations", "png")):
            there = root / part / "validation"
            (there / "sub").mkdir()
            (there / "link").symlink_to(folder / "outside")
            file = there / f"{stem}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(there / f"0.{ending}") as image:
                image.save(file)
            (root / "list.txt").write_text(f"{stem}\n1\n")
        flags = [str(root) if f == str(ground.seg_data) else f for f in ground.flags["seg"]]
        out = ("--show-dir", inner / "out/pictures", "--out", inner / "out/found")
        argv = [
            ground.configs["seg"],
            ground.last["seg"],
            *flags,
            "--work-dir",
            inner / "out/w",
            *out,
        ]
        listed = f"test_dataloader.dataset.ann_file={root / 'list.txt'}"
        before = set(folder.rglob("*"))
        outcome = run("test", [*argv, "--cfg-options", listed], inner)
        _quiet(outcome)
        _within(inner / "out", set(folder.rglob("*")) - before, outcome)

    return attack


def _parameter(ground: Ground, name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        import torch

        checkpoint = load(ground.last["seg"])
        checkpoint["state_dict"][name] = torch.zeros(3)
        file = folder / "hostile.pth"
        torch.save(checkpoint, file)
        config = ground.runs["seg"] / "tiny_seg.py"
        images = ground.seg_data / "images" / "validation"
        for tool, argv in (
            ("weights", ["inspect", file]),
            ("weights", ["verify", file]),
            ("weights", ["convert", file, folder / "out.pth", "--to", "mmpretrain"]),
            ("test", ground.argv("seg", file, "--work-dir", folder / "w")),
            ("infer", [config, file, images, "-o", folder / "found"]),
            ("train", ground.train_argv("seg", "--resume", file, work_dir=folder / "w")),
        ):
            _quiet(run(tool, argv, folder), folder)

    return attack
