"""Swap the backbone of the installed mmdet and mmseg zoos and try every result out.

    python benchmarks/zoo_swap.py [--zoo mmdet|mmseg] [--all] [--sample N --seed S] [--write]

One config per signature (the types of model, backbone, neck and heads, and what else decides how
they are wired) is tried as it is and with its backbone swapped: built, one loss, backward with a
gradient in every backbone parameter, an optimizer step, a prediction. Nothing is downloaded.
Results are added to JSON-lines files as they come, and a rerun takes up where the last one ended.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import socket
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mmengine.config import Config

import convnext_dense  # noqa: F401  makes mmdet importable
from convnext_dense.config_tree import walk
from convnext_dense.files import write_whole
from convnext_dense.swap.trial import STEPS, TrialError, run_trial

ZOOS = ("mmdet", "mmseg")
ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "swap.md"
MARKERS = ("<!-- zoo_swap: begin -->", "<!-- zoo_swap: end -->")
# A worker serves this many configs and is then replaced, so that its memory does not grow.
SERVED = 60

# What of a backbone decides its maps, besides its type. Depth and width only scale them.
BACKBONE_KEYS = ("out_indices", "num_stages", "strides", "dilations", "contract_dilation", "arch")
BACKBONE_KEYS += ("dcn", "stage_with_dcn", "sac", "plugins", "conv_cfg", "output_img")
READER_KEYS = ("type", "in_index", "input_transform", "start_level", "num_outs", "add_extra_convs")
READERS = ("head", "neck", "detector", "decoder", "extractor")

# The zoo and the path of a config below the zoo's folder.
Name = tuple[str, str]


def main() -> None:
    args = parse_args()
    groups, unusable = group_configs([args.zoo] if args.zoo else ZOOS, args.match)
    if args.sample is not None:
        groups = random.Random(args.seed).sample(groups, min(args.sample, len(groups)))
    # How many configs each one that is tried stands for.
    stands_for = {group[0]: len(group) for group in groups}
    if args.all:
        stands_for = {name: 1 for group in groups for name in group}
    print(f"{sum(map(len, groups))} configs in {len(groups)} signatures; trying {len(stands_for)}")

    todo = args.jobs, args.limit, args.fresh
    baseline = collect(args.baseline, list(stands_for), None, *todo)
    if args.unswapped:
        for name, record in baseline.items():
            if record["outcome"] != "ok":
                print(f"{'::'.join(name)}: {reason(record)}")
        return
    swapped = collect(args.out, list(stands_for), args.arch, *todo)
    table = render(stands_for, baseline, swapped, unusable)
    print(table)
    if args.write:
        write_between_markers(DOCUMENT, table)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--zoo", choices=ZOOS, help="this one alone (default: both)")
    add("--all", action="store_true", help="every config, not one per signature")
    add("--sample", type=int, metavar="N", help="N signatures drawn by chance")
    add("--seed", type=int, default=0, help="of --sample (default: 0)")
    add("--match", default="", metavar="TEXT", help="only configs with TEXT in their path")
    add("--arch", default="atto", help="to swap to (default: atto)")
    add("--unswapped", action="store_true", help="try the configs as they are, and no more")
    add("--jobs", type=int, default=1, metavar="J", help="processes (default: 1)")
    add("--limit", type=float, default=180, metavar="S", help="seconds a config (default: 180)")
    for flag, file, what in (
        ("--out", "zoo_swapped.jsonl", "swapped configs"),
        ("--baseline", "zoo_unswapped.jsonl", "configs as they are"),
    ):
        path = ROOT / "work_dirs" / file
        add(flag, type=Path, default=path, help=f"results of the {what} (default: {path})")
    add("--fresh", action="store_true", help="try again what has a result")
    add("--write", action="store_true", help=f"put the table into {DOCUMENT.name}")
    return parser.parse_args()


def group_configs(zoos: tuple[str, ...], match: str) -> tuple[list[list[Name]], dict[Name, str]]:
    """Group configs by zoo and signature; also return why some configs cannot be swapped."""
    groups, unusable = defaultdict(list), {}
    for zoo in zoos:
        for path in sorted(config_folder(zoo).rglob("*.py")):
            name = zoo, path.relative_to(config_folder(zoo)).as_posix()
            if name[1].startswith("_base_/") or match not in name[1]:
                continue
            try:
                cfg = load(name)
            except Exception as error:  # a config is a program
                unusable[name] = f"cannot be loaded ({type(error).__name__})"
                continue
            if "model" in cfg:
                groups[zoo, signature(cfg)].append(name)
            else:
                unusable[name] = "have no model"
    return list(groups.values()), unusable


def config_folder(zoo: str) -> Path:
    return Path(find_spec(zoo).origin).parent / ".mim" / "configs"


def load(name: Name) -> Config:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Config.fromfile(config_folder(name[0]) / name[1], import_custom_modules=False)


def signature(cfg: Config) -> str:
    model = cfg.model
    backbone = (model.get("detector") or model).get("backbone") or {}
    maps = {key: backbone[key] for key in BACKBONE_KEYS if key in backbone}
    odd_crop = min(cfg.get("crop_size") or (0, 0)) % 2
    parts = (readers(model), backbone.get("type"), maps, odd_crop, bool(model.get("train_cfg")))
    return json.dumps(parts, default=str, sort_keys=True)


def readers(node: object) -> object:
    if isinstance(node, (list, tuple)):
        return [readers(child) for child in node]
    if not isinstance(node, dict):
        return None
    found = {key: node[key] for key in READER_KEYS if key in node}
    return found | {k: readers(v) for k, v in node.items() if k.endswith(READERS)}


def collect(
    path: Path, names: list[Name], arch: str | None, jobs: int, limit: float, fresh: bool
) -> dict[Name, dict]:
    """Return the results in a file, after adding those that were missing."""
    records = {}
    if path.exists() and not fresh:
        for record in map(json.loads, path.read_text().splitlines()):
            if record["arch"] == arch:
                records[record["zoo"], record["config"]] = record
    missing = [name for name in names if name not in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for number, record in enumerate(run_all(missing, arch, jobs, limit), start=1):
            records[record["zoo"], record["config"]] = record
            print(json.dumps(record), file=file, flush=True)
            what = f"{record['config']} {arch or 'as it is'}: {record['outcome']}"
            error = record.get("error", "").partition("\n")[0]
            print(f"[{number}/{len(missing)}] {what} {error} ({record['took']} s)", flush=True)
    return {name: records[name] for name in names}


def run_all(names: list[Name], arch: str | None, jobs: int, limit: float) -> Iterator[dict]:
    """Try configs in worker processes, so that a crash or a hang ends only one of them."""
    workers = [Worker(limit) for _ in range(jobs)]
    idle = list(workers)

    def run(name: Name) -> dict:
        worker = idle.pop()
        try:
            return worker.ask(name, arch)
        finally:
            idle.append(worker)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(run, names)
    finally:
        for worker in workers:
            worker.stop()


class Worker:
    """A process that tries one config after the other."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.process = None

    def ask(self, name: Name, arch: str | None) -> dict:
        if self.process is None or self.served == SERVED:
            self.stop()
            self.start()
        start = time.perf_counter()
        self.served += 1
        try:
            self.pipe.send((name, arch))
            if self.pipe.poll(self.limit):
                record = self.pipe.recv()
            else:
                record = dict(outcome="time", error=f"no end after {self.limit:.0f} s")
                self.stop()
        except (EOFError, ConnectionError):
            self.process.join()
            record = dict(outcome="crash", error=f"exit status {self.process.exitcode}")
            self.stop()
        took = round(time.perf_counter() - start, 1)
        return dict(zoo=name[0], config=name[1], arch=arch, took=took, **record)

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=serve, args=(end,), daemon=True)
        self.process.start()
        end.close()
        self.pipe.recv()  # it is ready: its imports are not in the first config's time
        self.served = 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def serve(pipe: Connection) -> None:
    """Answer with a record for each config that comes in."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    socket.socket.connect = no_network
    warnings.simplefilter("ignore")
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401
    import torch

    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):  # the parent has ended
        pipe.send("ready")
        while True:
            pipe.send(attempt(*pipe.recv()))


def no_network(*args: Any) -> None:
    raise OSError("a download was tried: the network is off in this benchmark")


def attempt(name: Name, arch: str | None) -> dict:
    """Try a config, swapped where an arch is given."""
    record = {}
    try:
        cfg = load(name)
        if arch is None:
            make_shallow(cfg.model)
        else:
            from convnext_dense.swap import SwapRefusedError, swap_backbone

            start = time.perf_counter()
            try:
                cfg = swap_backbone(cfg, arch=arch)
            except SwapRefusedError as refusal:
                return dict(outcome="refused", error=str(refusal))
            record["swap_seconds"] = round(time.perf_counter() - start, 1)
            adapted = any(node.get("type") == "PyramidAdapter" for _, node in walk(cfg.model))
            record["tier"] = "adapter" if adapted else "native"
        trial = run_trial(cfg)
        outcome = "no gradient" if trial.no_gradient else "ok"
        return dict(outcome=outcome, **record, **asdict(trial))
    except TrialError as error:
        return dict(outcome=error.step, **record, **blame(error.cause), **asdict(error.trial))
    except Exception as error:  # the swap's own failures are results too
        return dict(outcome="swap", **record, **blame(error))


def make_shallow(model: dict) -> None:
    """Reduce a deeper ResNet to 50 layers, which have the same channels."""
    for part in (model, model.get("detector") or {}):
        backbone = part.get("backbone") or {}
        if "Res" in str(backbone.get("type")) and "depth" in backbone:
            backbone["depth"] = min(backbone["depth"], 50)


def blame(error: BaseException) -> dict:
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return dict(
        error=f"{type(error).__name__}: {error}"[:600],
        frames=[f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    )


# Why a config does not run as it is, by what the error says.
REASONS = (
    (r"needs the operator '(\w+)'", "needs the compiled operator {}"),
    (r"a download was tried|huggingface.co", "downloads while it is built"),
    (r"mim install (\w+)|'(mmpretrain)\.", "needs the package {}"),
    (r"pip install \"?(\w[\w-]+)", "needs the package {}"),
    (r"No module named '(\w+)|(?i:please install) (?!required)(\w+)", "needs the package {}"),
    (r"(.*)", "{}"),
)


def reason(record: dict) -> str:
    if record["outcome"] == "no gradient":
        return f"no gradient in {', '.join(record['no_gradient'][:3])}"
    for pattern, text in REASONS:
        match = re.search(pattern, record["error"])
        if match:
            what = next((group for group in match.groups() if group), "")
            return f"{record['outcome']}: {text.format(what[:160])}"
    raise AssertionError("the last pattern matches everything")


def judge(base: dict, swapped: dict) -> str:
    """Return the row of the table that a config belongs to."""
    outcome = swapped["outcome"]
    if outcome == "ok":
        return swapped["tier"]
    if outcome not in STEPS:
        return outcome if outcome in ROWS else "failed"
    if base["outcome"] == "build" == outcome and base["error"] == swapped["error"]:
        return "defect"
    # What stops the original may stop the swapped one, which has to build all the same.
    reached = STEPS.index(outcome)
    expected = STEPS.index(base["outcome"]) if base["outcome"] in STEPS else len(STEPS)
    return "as before" if reached >= max(expected, STEPS.index("loss")) else "failed"


ROWS = {
    "native": "runs, rewired natively",
    "adapter": "runs, with an adapter",
    "as before": "builds, and does not run without the swap either",
    "defect": "does not build, for a defect that the swap leaves alone",
    "refused": "refused",
    "no gradient": "failed: backbone parameters without gradient",
    "failed": "failed otherwise",
}


def render(
    stands_for: dict[Name, int],
    baseline: dict[Name, dict],
    swapped: dict[Name, dict],
    unusable: dict[Name, str],
) -> str:
    """Lay out the counts by category and zoo, and the reasons why configs do not run."""
    zoos = sorted({zoo for zoo, _ in stands_for})
    tried, configs, notes = Counter(), Counter(), defaultdict(Counter)
    for name, count in stands_for.items():
        row = judge(baseline[name], swapped[name])
        tried[name[0], row] += 1
        configs[name[0], row] += count
        if row not in ("native", "adapter"):
            notes[row][reason(swapped[name]), "::".join(name)] += count
    lines = ["| after the swap | " + " | ".join(f"{z}, tried | {z}, configs" for z in zoos) + " |"]
    lines.append("|---|" + "---:|" * (2 * len(zoos)))
    for row, text in ROWS.items():
        cells = " | ".join(f"{tried[zoo, row]} | {configs[zoo, row]}" for zoo in zoos)
        lines.append(f"| {text} | {cells} |")
    for row in (row for row in ROWS if row in notes):
        lines += ["", f'Configs of the row "{ROWS[row]}", each with those wired like it:', ""]
        lines += [f"- `{name}` ({n}): {why}" for (why, name), n in sorted(notes[row].items())]
    kinds = Counter(why for (zoo, _), why in unusable.items() if zoo in zoos)
    lines += ["", "Not counted: " + ", ".join(f"{n} that {why}" for why, n in kinds.items()) + "."]
    return "\n".join(lines)


def write_between_markers(path: Path, text: str) -> None:
    content = path.read_text() if path.exists() else ""
    if any(content.count(marker) != 1 for marker in MARKERS):
        raise SystemExit(f"{path} needs the lines {MARKERS[0]} and {MARKERS[1]}, once each")
    before, _, rest = content.partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    write_whole(path, f"{before}{MARKERS[0]}\n{text}\n{MARKERS[1]}{after}")


if __name__ == "__main__":
    main()
