"""Damaged checkpoints: refused by name, or read as the very parameters that were written."""

from __future__ import annotations

import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ground import Ground
from harness import Case, check, run
from judges import refused, succeeded
from kills import difference, equal_outcome, load

TITLE = "damaged checkpoints"
RIGHT = (
    "`weights.py convert`, `test.py` and `train.py --resume` refuse the file in one line with its "
    "name, and with the name of a parameter that is no finite float; or what they read is provably "
    "what was written: the same parameters, figures or final weights, to the bit."
)
SAMPLE = 10  # cases in make test
TOOLS = ("convert", "convert", "test", "resume")
Damage = Callable[[Path, random.Random], "str | None"]


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all damages, each in the hands of one of the tools."""
    listed = []
    for kind, (count, damage) in DAMAGES.items():
        for nth in range(count):
            chance = random.Random(f"{seed} {kind} {nth}")
            tool = TOOLS[nth % len(TOOLS)]
            if kind == "state":  # of which only a training makes use
                tool = "resume"
            elif kind == "renamed" and tool == "convert":  # it takes any heads
                tool = "test"
            name = f"checkpoints/{kind}-{nth:02}"
            listed.append(Case(name, _damaged(ground, damage, tool, chance)))
    return listed


def _damaged(
    ground: Ground, damage: Damage, tool: str, chance: random.Random
) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        work_dir = folder / "w"
        shutil.copytree(ground.runs["seg"], work_dir)
        for path in work_dir.glob("*.pth"):
            path.unlink()
        # A resumed run has something left to do.
        whole = ground.middle if tool == "resume" else ground.last["seg"]
        file = folder / whole.name
        shutil.copy(whole, file)
        parameter = damage(file, chance)
        if tool == "convert":
            out = folder / "out.pth"
            outcome = run("weights", ["convert", file, out, "--to", "mmpretrain"], folder)
            if outcome.status == 0:
                succeeded(outcome)
                expected = folder / "expected.pth"
                run("weights", ["convert", whole, expected, "--to", "mmpretrain"], folder)
                where = difference(load(expected), load(out), "state")
                check(not where, f"it reads another {where}, without a word")
                return
        elif tool == "test":
            argv = ground.argv("seg", file, "--work-dir", work_dir, "--out", folder / "found")
            outcome = run("test", argv, folder)
            if outcome.status == 0:
                succeeded(outcome)
                # Figures alone prove nothing.
                state, found = load(whole)["state_dict"], load(file)["state_dict"]
                where = difference(dict(state), dict(found), "state_dict")
                check(not where, f"it tests another {where}, without a word")
                return
        else:
            work_dir = folder / "resumed"
            argv = ground.train_argv("seg", "--resume", file, work_dir=work_dir)
            outcome = run("train", argv, folder)
            if outcome.status == 0:
                succeeded(outcome)
                equal_outcome(ground.runs["seg"], work_dir, best=False)
                return
        refused(outcome, file.name)
        if parameter:
            own = parameter.removeprefix("backbone.")
            check(own in outcome.err, f"it does not name {parameter}: {outcome}")

    return attack


def truncate(file: Path, chance: random.Random) -> None:
    """Cut a file off."""
    size = file.stat().st_size
    edges = [0, 1, 2, 4, 64, 1024, size // 2, size - 1, size - 22, size - 23, size - 500]
    left = chance.choice([*edges, *(chance.randrange(size) for _ in range(30))])
    with file.open("r+b") as stream:
        stream.truncate(left)


def flip(file: Path, chance: random.Random, count: int) -> None:
    """Change bytes anywhere."""
    content = bytearray(file.read_bytes())
    for _ in range(count):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def blank(file: Path, chance: random.Random) -> None:
    """Zero a block, as a disk does."""
    content = bytearray(file.read_bytes())
    size = chance.choice((1, 16, 512, 4096, 65536))
    begin = chance.randrange(len(content)) // size * size
    content[begin : begin + size] = bytes(len(content[begin : begin + size]))
    file.write_bytes(content)


def grow(file: Path, chance: random.Random) -> None:
    """Add bytes at the end, at the beginning, or the file once more."""
    content = file.read_bytes()
    more = chance.randbytes(chance.choice((1, 100, 70_000)))
    file.write_bytes(chance.choice((content + more, more + content, content + content)))


def swap_entries(file: Path, chance: random.Random) -> None:
    """Exchange the bytes of two entries of the zip file, and leave its table as it is."""
    content = bytearray(file.read_bytes())
    entries = _data_entries(file)
    one = chance.choice(entries)
    other = chance.choice([e for e in entries if e.file_size == one.file_size] or entries)
    size = min(one.file_size, other.file_size)
    first, second = (_begin(content, entry) for entry in (one, other))
    a, b = content[first : first + size], content[second : second + size]
    content[first : first + size], content[second : second + size] = b, a
    file.write_bytes(content)


def edit_entries(file: Path, chance: random.Random) -> None:
    """Leave out an entry of the zip file, or have it twice."""
    with zipfile.ZipFile(file) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    number = chance.randrange(len(entries))
    if chance.random() < 0.5:
        del entries[number]
    else:
        name, content = entries[number]
        entries.append((name, bytes(len(content))))
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)


def _data_entries(file: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(file) as archive:
        return [entry for entry in archive.infolist() if "/data/" in entry.filename]


def _begin(content: bytes, entry: zipfile.ZipInfo) -> int:
    names = struct.unpack("<HH", content[entry.header_offset + 26 : entry.header_offset + 30])
    return entry.header_offset + 30 + sum(names)


def change(file: Path, chance: random.Random, to: Callable, below: str = "") -> str | None:
    """Change one parameter of the model; return its name, or None where it is the same."""
    import torch

    checkpoint = load(file)
    state = checkpoint["state_dict"]
    floats = [n for n, v in state.items() if v.is_floating_point() and n.startswith(below)]
    name = chance.choice(floats)
    changed = to(state[name], chance)
    same = not difference(state[name], changed, "")
    state[name] = changed
    torch.save(checkpoint, file)
    return None if same else name


def rename(file: Path, chance: random.Random) -> None:
    """Exchange the names of two parameters of other shapes, or misspell one."""
    import torch

    checkpoint = load(file)
    state = checkpoint["state_dict"]
    one, other = chance.sample(sorted(state), 2)
    if chance.random() < 0.5 and state[one].shape != state[other].shape:
        state[one], state[other] = state[other], state[one]
    else:
        state[one + "s"] = state.pop(one)
    torch.save(checkpoint, file)


def _put(value: float) -> Callable:
    def to(tensor: object, chance: random.Random) -> object:
        changed = tensor.clone()
        changed.view(-1)[chance.randrange(changed.numel())] = value
        return changed

    return to


def _types(tensor: object, chance: random.Random) -> object:
    import torch

    return chance.choice(
        (
            *(1, 0.5, "text", None, [1.0], {}, (), True),
            *(tensor.tolist(), tensor.to(torch.complex64), tensor[None], tensor.reshape(-1)[:-1]),
            *(tensor.to_sparse(), torch.empty(0), tensor.double() * 1e300, tensor != 0),
            *(tensor.clone().requires_grad_(), tensor.double(), [tensor], tensor.to("meta")),
        )
    )


def _integers(tensor: object, chance: random.Random) -> object:
    import torch

    kinds = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
    return tensor.to(chance.choice(kinds))


def state_of_training(file: Path, chance: random.Random) -> None:
    """Spoil what a checkpoint says beside the parameters."""
    import torch

    checkpoint = load(file)
    meta = checkpoint["meta"]
    choices = (
        lambda: checkpoint.pop(chance.choice(sorted(set(checkpoint) - {"state_dict"}))),
        lambda: checkpoint.update({chance.choice(sorted(checkpoint)): chance.choice(ODD)}),
        lambda: meta.pop(chance.choice(sorted(meta))),
        lambda: meta.update({chance.choice(("iter", "epoch", "seed")): chance.choice(ODD)}),
        lambda: checkpoint["optimizer"]["state"].clear(),
        lambda: checkpoint["optimizer"]["param_groups"].pop(),
        lambda: checkpoint["optimizer"]["param_groups"][0].update(lr=chance.choice(ODD)),
        lambda: next(iter(checkpoint["optimizer"]["state"].values())).update(
            exp_avg=torch.full((3,), float("nan"))
        ),
        lambda: checkpoint["param_schedulers"].pop(),
        lambda: checkpoint["message_hub"].update(runtime_info=chance.choice(ODD)),
        lambda: checkpoint["message_hub"].pop(chance.choice(sorted(checkpoint["message_hub"]))),
    )
    chance.choice(choices)()
    torch.save(checkpoint, file)


ODD = (None, -1, "text", float("nan"), float("inf"), 10**30, [], {}, True)
DAMAGES: dict[str, tuple[int, Damage]] = {
    "truncated": (60, truncate),
    "flipped-1": (40, partial(flip, count=1)),
    "flipped-4": (25, partial(flip, count=4)),
    "flipped-64": (25, partial(flip, count=64)),
    "zeroed": (50, blank),
    "grown": (10, grow),
    "swapped": (20, swap_entries),
    "entries": (15, edit_entries),
    "renamed": (15, rename),
    "nan": (10, partial(change, to=_put(float("nan")))),
    "infinite": (10, partial(change, to=_put(float("-inf")))),
    "integers": (24, partial(change, to=_integers)),
    # A head may have any shape that a config gives it.
    "types": (36, partial(change, to=_types, below="backbone.")),
    "state": (30, state_of_training),
}
