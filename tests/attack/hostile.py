"""Hostile files: pickles, configs, YAML, JSON and arrays that run code where they are read."""

from __future__ import annotations

import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ground import Ground
from harness import Case, Process, check, run
from judges import refused, succeeded, undisturbed
from kills import load

TITLE = "hostile files"
RIGHT = (
    "No file named PWNED appears, whichever tool reads the file; what needs code to be read is "
    "refused in one line with the file's name."
)
SAMPLE = 3  # cases in make test
SLOW = ("hostile/ann", "hostile/endings")  # never among them
COUNT = 20  # pickled checkpoints
MARKER = "PWNED"


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all files, each in the hands of the tools that would read it."""
    listed = []
    for nth in range(COUNT):
        chance = random.Random(f"{seed} {nth}")
        payload = PAYLOADS[nth % len(PAYLOADS)]
        listed.append(Case(f"hostile/checkpoint-{nth:02}", _checkpoint(ground, payload, chance)))
    for name, attack in OTHERS.items():
        listed.append(Case(f"hostile/{name}", attack(ground)))
    return listed


class Runs:
    """Pickles as a call.

    Args:
        function: What is called when it is unpickled.
        args: With what.
    """

    def __init__(self, function: Callable, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.call


def _payloads() -> list[Callable[[str], object]]:
    """List what runs a command when it is unpickled; each is given the path of the marker."""
    import builtins
    import os
    import runpy
    import subprocess
    import urllib.request

    import torch

    touch = "open({!r}, 'w').close()".format
    return [
        lambda at: Runs(os.system, f"touch {at}"),
        lambda at: Runs(builtins.exec, touch(at)),
        lambda at: Runs(builtins.eval, touch(at)),
        lambda at: Runs(subprocess.check_call, ["touch", at]),
        lambda at: Runs(builtins.getattr, Runs(builtins.__import__, "os"), "system"),
        lambda at: Runs(Path.touch, Path(at)),
        lambda at: Runs(urllib.request.urlretrieve, f"file://{__file__}", at),
        lambda at: Runs(builtins.open, at, "w"),
        lambda at: Runs(np.save, at, np.zeros(1)),
        lambda at: Runs(torch.save, 0, at),
        lambda at: Runs(os.mkdir, at),
        lambda at: Runs(runpy.run_path, at),
        lambda at: Runs(os.link, __file__, at),
        lambda at: Runs(os.popen, f"touch {at}"),
    ]


PAYLOADS = _payloads()


def _unmarked(folder: Path, outcome: object) -> None:
    found = [path for path in folder.rglob("*") if MARKER in path.name]
    check(not found, f"it ran: {found[:1]}; {outcome}")


def _checkpoint(ground: Ground, payload: Callable, chance: random.Random) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        import torch

        file = folder / "hostile.pth"
        marker = str(folder / MARKER)
        checkpoint = load(ground.middle)
        harm = payload(marker)
        place = chance.choice(("state_dict", "meta", "message_hub", "top", "optimizer", "bare"))
        if place == "top":
            checkpoint["zz"] = harm
        elif place == "bare":
            checkpoint = harm
        else:
            checkpoint[place]["zz"] = harm
        form = chance.choice(("zip", "legacy", "pickle"))
        if form == "pickle":
            file.write_bytes(pickle.dumps(checkpoint))
        else:
            torch.save(checkpoint, file, _use_new_zipfile_serialization=form == "zip")
        test = ground.argv("seg", file, "--work-dir", folder / "w")
        images = ground.seg_data / "images" / "validation"
        config = ground.runs["seg"] / "tiny_seg.py"
        readers = (
            ("weights", ["inspect", file]),
            ("weights", ["verify", file]),
            ("weights", ["convert", file, folder / "out.pth", "--to", "timm"]),
            ("test", test),
            ("infer", [config, file, images, "-o", folder / "found"]),
            ("train", ground.train_argv("seg", "--resume", file, work_dir=folder / "w")),
            ("train", ground.argv("seg", "--weights", file, "--work-dir", folder / "w")),
        )
        for tool, argv in chance.sample(readers, 3):
            outcome = run(tool, argv, folder)
            _unmarked(folder, outcome)
            refused(outcome, file.name)

    return attack


def _data(ground: Ground, name: str, write: Callable[[Path, str], None], *options: str):
    """Run a tool on a hostile file instead of a data set's."""

    def attack(folder: Path) -> None:
        file = folder / name
        write(file, str(folder / MARKER))
        filled = [option.format(file=file) for option in options]
        for tool in ("train", "test", "data"):
            start = dict(train=["--weights", "none"], test=[ground.last["det"]], data=[])[tool]
            flags = ("--work-dir", folder / "w", "--cfg-options", *filled)
            argv = ground.argv("det", *start, *flags)
            if tool == "data":
                argv.insert(0, "check")
            outcome = run(tool, argv, folder)
            _unmarked(folder, outcome)
            undisturbed(outcome)
            check(outcome.status in (1, 2), f"it takes {name}: {outcome}")

    return attack


def _pickle(file: Path, marker: str) -> None:
    file.write_bytes(pickle.dumps(PAYLOADS[0](marker)))


def _array(file: Path, marker: str) -> None:
    np.save(file, np.array([PAYLOADS[0](marker)], dtype=object), allow_pickle=True)


def _yaml(file: Path, marker: str) -> None:
    file.write_text(f'!!python/object/apply:os.system ["touch {marker}"]\n')


def _yaml_in_key(file: Path, marker: str) -> None:
    file.write_text(f'model: !!python/object/apply:os.system ["touch {marker}"]\n')


def _config_by_tools(ground: Ground, name: str, write: Callable[[Path, str], None]):
    """Run a tool on a hostile config that is not Python."""

    def attack(folder: Path) -> None:
        file = folder / name
        write(file, str(folder / MARKER))
        for tool, argv in (
            ("train", [file, *ground.flags["seg"], "--weights", "none", "--work-dir", "w"]),
            ("test", [file, ground.last["seg"], *ground.flags["seg"], "--work-dir", "w"]),
            ("swap_backbone", [file, "--arch", "atto", "-o", folder / "out.py"]),
            ("flops", [file]),
        ):
            outcome = run(tool, argv, folder)
            _unmarked(folder, outcome)
            refused(outcome)

    return attack


def _report(ground: Ground, place: str, text: str):
    """Report on somebody else's work directory, whose config runs code."""

    def attack(folder: Path) -> None:
        import shutil

        work_dir = folder / "sent"
        shutil.copytree(ground.runs["seg"], work_dir)
        marker = str(folder / MARKER)
        (vis_data,) = work_dir.glob("*/vis_data")
        for file in [work_dir / "tiny_seg.py"] if place == "top" else [vis_data / "config.py"]:
            file.write_text(text.format(marker=marker) + file.read_text())
        if place == "top":
            (vis_data / "config.py").unlink()
        outcome = run("report", [work_dir, "-o", folder / "report.html"], folder)
        _unmarked(folder, outcome)
        undisturbed(outcome)
        check(outcome.status == 0 or "error: " in outcome.err, outcome)

    return attack


def _in_checkpoint_config(ground: Ground):
    """Load a checkpoint whose ``meta`` holds a config that runs code."""

    def attack(folder: Path) -> None:
        import torch

        checkpoint = load(ground.middle)
        harm = f"import os\nos.system('touch {folder / MARKER}')\n"
        for key in ("cfg", "config", "cfg_text"):
            checkpoint["meta"][key] = harm
        file = folder / "hostile.pth"
        torch.save(checkpoint, file)
        argv = ground.train_argv("seg", "--resume", file, work_dir=folder / "w")
        for tool, arguments in (
            ("train", argv),
            ("test", ground.argv("seg", file, "--work-dir", folder / "w")),
            ("weights", ["inspect", file]),
        ):
            outcome = run(tool, arguments, folder)
            _unmarked(folder, outcome)
            succeeded(outcome)

    return attack


def _swap_comment(ground: Ground, argument: str):
    """Pass an argument that would end the comment in the written config."""

    def attack(folder: Path) -> None:
        from mmengine.config import Config

        out = folder / "out.py"
        harm = argument.format(marker=folder / MARKER)
        config = ground.runs["seg"] / "tiny_seg.py"
        argv = [config, "--arch", "atto", "-o", out, "--cfg-options", harm]
        outcome = run("swap_backbone", argv, folder)
        undisturbed(outcome)
        if out.exists():
            # A sound config runs nothing when it is read.
            Process(lambda: bool(Config.fromfile(out) is None), folder).wait()
        _unmarked(folder, outcome)

    return attack


def _safetensors(ground: Ground):
    """Load pickles that have the suffix of another format."""

    def attack(folder: Path) -> None:
        for ending in ("safetensors", "bin", "pt", "ckpt", "npz", "json", "txt", ""):
            file = folder / f"hostile.{ending}"
            _pickle(file, str(folder / MARKER))
            for tool, argv in (
                ("weights", ["inspect", file]),
                ("train", ground.argv("seg", "--weights", file, "--work-dir", folder / "w")),
            ):
                outcome = run(tool, argv, folder)
                _unmarked(folder, outcome)
                refused(outcome, file.name)

    return attack


def _zip_slip(ground: Ground):
    """Load a zip file whose entries lead out of its folder."""

    def attack(folder: Path) -> None:
        file = folder / "inside" / "hostile.pth"
        file.parent.mkdir()
        with zipfile.ZipFile(ground.middle) as whole, zipfile.ZipFile(file, "w") as archive:
            for entry in whole.infolist():
                archive.writestr(entry.filename, whole.read(entry))
            archive.writestr(f"../{MARKER}", "x")
            archive.writestr(str(folder / MARKER), "x")
        for argv in (["inspect", file], ["convert", file, file.parent / "o.pth", "--to", "meta"]):
            outcome = run("weights", argv, folder / "inside")
            _unmarked(folder, outcome)
            undisturbed(outcome)

    return attack


def _results(ground: Ground, kind: str, name: str, write: Callable[[Path, str], None]):
    """Run tools/evaluate.py on hostile files."""

    def attack(folder: Path) -> None:
        file = folder / name
        write(file, str(folder / MARKER))
        truth = ground.det_data / "annotations" / "instances_val.json"
        argv = [kind, file, truth] if kind == "coco" else [kind, file, file]
        for arguments in (argv, [kind, truth, file]):
            outcome = run("evaluate", arguments, folder)
            _unmarked(folder, outcome)
            refused(outcome)

    return attack


def _deep_json(file: Path, marker: str) -> None:
    file.write_text("[" * 200_000 + "]" * 200_000)


def _huge_number(file: Path, marker: str) -> None:
    file.write_text('{"images": ' + "9" * 100_000 + "}")


def _odd_json(file: Path, marker: str) -> None:
    file.write_text(json.dumps({"py/object/apply": ["os.system", [f"touch {marker}"]]}))


TRAIN = "train_dataloader.dataset.ann_file={file}"
VAL = "val_dataloader.dataset.ann_file={file}"
TEST = "test_dataloader.dataset.ann_file={file}"
OTHERS: dict[str, Callable[[Ground], Callable[[Path], None]]] = {
    "ann-pkl": lambda g: _data(g, "a.pkl", _pickle, TRAIN, VAL, TEST),
    "ann-pickle": lambda g: _data(g, "a.pickle", _pickle, TRAIN, VAL, TEST),
    "ann-json": lambda g: _data(g, "a.json", _pickle, TRAIN, VAL, TEST),
    "ann-yaml": lambda g: _data(g, "a.yaml", _yaml, TRAIN, VAL, TEST),
    "ann-yml": lambda g: _data(g, "a.yml", _yaml_in_key, TRAIN, VAL, TEST),
    "ann-npy": lambda g: _data(g, "a.npy", _array, TRAIN, VAL, TEST),
    "proposals-pkl": lambda g: _data(
        g,
        "p.pkl",
        _pickle,
        "train_dataloader.dataset.proposal_file={file}",
        "val_dataloader.dataset.proposal_file={file}",
        "test_dataloader.dataset.proposal_file={file}",
    ),
    "config-yaml": lambda g: _config_by_tools(g, "c.yaml", _yaml),
    "config-yml": lambda g: _config_by_tools(g, "c.yml", _yaml_in_key),
    "config-json": lambda g: _config_by_tools(g, "c.json", _odd_json),
    "config-pkl": lambda g: _config_by_tools(g, "c.pkl", _pickle),
    "report-top": lambda g: _report(g, "top", "import os\nos.system('touch {marker}')\n"),
    "report-part": lambda g: _report(g, "part", "import os\nos.system('touch {marker}')\n"),
    "report-base": lambda g: _report(g, "part", "x = open({marker!r}, 'w')\n"),
    "report-imports": lambda g: _report(g, "top", "x = __import__('os').mkdir({marker!r})\n"),
    "report-lazy": lambda g: _report(
        g, "part", "from mmengine.config import read_base\nimport os\nos.mkdir({marker!r})\n"
    ),
    "checkpoint-config": _in_checkpoint_config,
    "swap-newline": lambda g: _swap_comment(g, "a.b=1\nopen({marker!s}, 'w')"),
    "swap-return": lambda g: _swap_comment(g, "a.b=1\ropen('{marker}', 'w')"),
    "swap-form-feed": lambda g: _swap_comment(g, "a.b=1\x0c\nopen('{marker}', 'w')#"),
    "swap-quotes": lambda g: _swap_comment(g, "a.b='''\nopen('{marker}', 'w')\n'''"),
    "swap-separator": lambda g: _swap_comment(g, "a.b=1\u2028open('{marker}', 'w')"),
    "swap-value": lambda g: _swap_comment(g, "a.b=\"__import__('os').mkdir('{marker}')\""),
    "endings": _safetensors,
    "zip-slip": _zip_slip,
    "results-pkl": lambda g: _results(g, "coco", "r.pkl", _pickle),
    "results-json": lambda g: _results(g, "coco", "r.json", _pickle),
    "results-deep": lambda g: _results(g, "coco", "r.json", _deep_json),
    "results-number": lambda g: _results(g, "coco", "r.json", _huge_number),
    "results-odd": lambda g: _results(g, "coco", "r.json", _odd_json),
}
