"""Full disks, read-only and vanished folders, files where folders should be."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ground import Ground
from harness import Case, Outcome, Skipped, check, run
from judges import contents, no_parts, refused, succeeded
from kills import equal_outcome, newest_whole
from signals import tool_argv
from traps import Recorder, Trap

TITLE = "disk"
RIGHT = (
    "Exit status 1 and one line that names the file or its folder; every earlier file is as it "
    "was, new ones are whole, no part is left, and once there is room the tool does its work; a "
    "training continues to the outcome of one that was never stopped."
)
SAMPLE = 4  # cases in make test
WRITERS = ("train", "test", "infer", "data", "report", "convert", "swap", "evaluate")
ONCE = ("swap", "convert")  # these overwrite nothing
ROOMS = (0, 4_096, 40_960, 300_000)  # bytes left on a full disk
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
READ_ONLY, REMOUNT, BIND = 1, 32, 4096
MEGABYTE = 2**20


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all cases."""
    counts = Recorder(ground.places).counts()
    listed = []
    for nth in range(0, counts["middle"], 3):  # a file is opened more than once
        trap = Trap("middle", nth, lambda: _limit(100_000))
        listed.append(Case(f"disk/limit-{nth:02}", _fills_while_training(ground, trap)))
    for size in (0, 300, 5_000, 50_000, 300_000):
        listed.append(Case(f"disk/limit-from-the-start-{size}", _small_files(ground, size)))
    for tool in WRITERS:
        for room in ROOMS:
            listed.append(Case(f"disk/full-{tool}-{room}", _full_disk(ground, tool, room)))
        listed.append(Case(f"disk/read-only-{tool}", _read_only(ground, tool)))
        listed.append(Case(f"disk/file-for-folder-{tool}", _file_for_folder(ground, tool)))
    for nth in range(0, counts["any"], max(1, counts["any"] // 12)):
        listed.append(Case(f"disk/vanishes-{nth:03}", _vanishes(ground, nth)))
    for name in ("last_checkpoint", "iter_2.pth", "best_mIoU_iter_4.pth", "tiny_seg.py"):
        listed.append(Case(f"disk/folder-for-{name}", _folder_for_file(ground, name)))
    for name in ("metrics.json", "per_class.csv"):
        listed.append(Case(f"disk/folder-for-{name}", _folder_for_figures(ground, name)))
    return listed


def writer(ground: Ground, tool: str, out: Path) -> tuple[str, list[str]]:
    """Return a tool's name and arguments that write below ``out``."""
    run_of, last = ground.runs["seg"], ground.last["seg"]
    config = run_of / ground.configs["seg"].name
    if tool == "train":
        return tool, ground.train_argv("seg", "--resume", work_dir=out)
    if tool in ("test", "infer", "data"):
        return tool, tool_argv(ground, tool, out)
    if tool == "report":
        return tool, [str(run_of), "-o", str(out / "report.html")]
    if tool == "convert":
        return "weights", [
            "convert",
            str(last),
            str(out / "timm.pth"),
            "--to",
            "timm",
            "--prefix",
            "backbone",
        ]
    if tool == "swap":
        return "swap_backbone", [str(config), "--arch", "pico", "-o", str(out / "swapped.py")]
    labels = ground.seg_data / "annotations" / "validation"
    flags = ("--reduce-zero-label", "--classes", "left,right,disc", "-o", out / "figures")
    return tool, list(map(str, ["ade20k", labels, labels, *flags]))


def _limit(size: int) -> None:
    """Let no file grow beyond a size, as where the disk is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _fills_while_training(ground: Ground, trap: Trap) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        argv = ground.train_argv("seg", "--resume", work_dir=work_dir)
        outcome = run("train", argv, folder, prepare=trap)
        refused(outcome, "iter_")
        saved = [int(n) for n in re.findall(r"Saving checkpoint at (\d+) ", outcome.out)]
        newest = newest_whole(work_dir)
        check(len(saved) < 2 or newest >= saved[-2], f"checkpoint {saved} is lost: {outcome}")
        no_parts(work_dir)
        succeeded(run("train", argv, folder))
        equal_outcome(ground.runs["seg"], work_dir)

    return attack


def _small_files(ground: Ground, size: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        argv = ground.train_argv("seg", "--resume", work_dir=folder / "w")
        outcome = run("train", argv, folder, prepare=lambda: _limit(size))
        # A config is read by way of the folder for temporary files, which may be full too.
        refused(outcome, str(folder / "w"), "w/", str(ground.configs["seg"]))
        no_parts(folder)

    return attack


def mount_small_disk(at: Path, size: int = 12 * MEGABYTE) -> None:
    """Mount a disk in memory that this process and its children see.

    Raises:
        Skipped: Where this user may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_MOUNTS):
        raise Skipped("this user may not make a name space of its own")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    at.mkdir(parents=True, exist_ok=True)
    if libc.mount(b"tmpfs", str(at).encode(), b"tmpfs", 0, f"size={size}".encode()):
        raise Skipped(f"no file system can be mounted: {os.strerror(ctypes.get_errno())}")


def _remount_read_only(at: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, str(at).encode(), None, REMOUNT | READ_ONLY, None):
        raise Skipped(f"cannot be mounted read-only: {os.strerror(ctypes.get_errno())}")


def _on_small_disk(ground: Ground, tool: str, folder: Path) -> tuple[Path, str, list[str]]:
    """Mount a small disk, and let a tool write to it once while there is room.

    Returns:
        The folder that it wrote to, the tool's name, and its arguments.
    """
    out = folder / "disk" / "w"
    mount_small_disk(out.parent)
    name, argv = writer(ground, tool, out)
    out.mkdir()
    if tool == "train":
        shutil.copytree(ground.runs["seg"], out, dirs_exist_ok=True)
        argv += ["--cfg-options", "train_cfg.max_iters=16"]
    elif tool not in ONCE:
        succeeded(run(name, argv, folder))
    return out, name, argv


def _kept(out: Path, before: dict[str, bytes], outcome: Outcome) -> None:
    # A log may have grown, a run has new ones, and what was written in time is as good.
    after = contents(out)
    kept = (".pth", ".py", "last_checkpoint", ".html", ".png", ".jpg", ".json", ".csv")
    steady = [n for n in before if n.endswith(kept) and "vis_data" not in n]
    lost = [n for n in steady if n not in after or len(after[n]) < len(before[n]) * 0.5]
    check(not lost, f"lost or cut: {lost}; {outcome}")


def _full_disk(ground: Ground, tool: str, room: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        out, name, argv = _on_small_disk(ground, tool, folder)
        before, disk = contents(out), out.parent
        filler = disk / "filler"
        free = shutil.disk_usage(disk).free
        filler.write_bytes(bytes(max(0, free - room)))
        outcome = run(name, argv, folder)
        if outcome.status != 0:
            refused(outcome, str(disk), "w/")
            check("space" in outcome.err, f"it does not say what is missing: {outcome}")
        no_parts(out)
        _kept(out, before, outcome)
        filler.unlink()
        if outcome.status or tool not in ONCE:
            succeeded(run(name, argv, folder))
        no_parts(out)

    return attack


def _read_only(ground: Ground, tool: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        out, name, argv = _on_small_disk(ground, tool, folder)
        before, disk = contents(out), out.parent
        _remount_read_only(disk)
        outcome = run(name, argv, folder)
        refused(outcome, str(disk), "w/")
        check("ead-only" in outcome.err, f"it does not say why: {outcome}")
        check(contents(out) == before, "a read-only folder changed")

    return attack


def _file_for_folder(ground: Ground, tool: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        out = folder / "w"
        out.write_text("a file")
        name, argv = writer(ground, tool, out)
        refused(run(name, argv, folder), str(out))
        check(out.read_text() == "a file", "the file changed")

    return attack


def _folder_for_file(ground: Ground, name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        (work_dir / name / "inside").mkdir(parents=True)
        outcome = run("train", ground.train_argv("seg", work_dir=work_dir), folder)
        if outcome.status:
            refused(outcome, name)
        check((work_dir / name / "inside").is_dir(), f"the folder is gone: {outcome}")
        no_parts(work_dir)

    return attack


def _folder_for_figures(ground: Ground, name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        (work_dir / name / "inside").mkdir(parents=True)
        argv = ground.argv("seg", ground.last["seg"], "--work-dir", work_dir)
        refused(run("test", argv, folder), name)
        no_parts(work_dir)

    return attack


def _vanishes(ground: Ground, nth: int) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        argv = ground.train_argv("seg", "--resume", work_dir=work_dir)
        trap = Trap("any", nth, lambda: subprocess.run(["rm", "-rf", work_dir], check=True))
        outcome = run("train", argv, folder, prepare=trap)
        if outcome.status:
            refused(outcome, "w/", str(work_dir))
        else:
            succeeded(outcome)
            check(newest_whole(work_dir) or nth > 90, f"it ends well, without a file: {outcome}")
        succeeded(run("train", argv, folder))

    return attack
