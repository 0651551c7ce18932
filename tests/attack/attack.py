"""Attack the toolkit: python tests/attack/attack.py [KIND ...] --seed 0 --jobs 2."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import reliability
from harness import Case, Process, Result, preload, run_cases
from kinds import KINDS

ALONE = "make attack ARGS='--only {name} --seed {seed}'"


def main(argv: list[str] | None = None) -> int:
    """Run the attacks; give 1 where the toolkit did something wrong."""
    args = parse_args(argv)
    begun = time.monotonic()
    preload()
    from ground import Ground

    with tempfile.TemporaryDirectory(prefix="attack-", dir=args.tmp) as tmp:
        (Path(tmp) / "ground").mkdir()
        ground = Ground(Path(tmp) / "ground")
        made = Process(ground.make, ground.folder).wait(600)
        if made.status:
            print(f"error: the attacks cannot begin: {made}", file=sys.stderr)
            return 1
        chosen = choose(ground, args)
        if args.list:
            print("\n".join(case.name for case in chosen))
            return 0
        results = []
        for result in run_cases(chosen, Path(tmp), args.jobs):
            results.append(result)
            tell(result, args)
    if args.json:
        args.json.write_text(json.dumps([asdict(result) for result in results]))
    if not (args.kinds or args.only or args.sample):
        modules = {name: import_module(name) for name in KINDS}
        reliability.write(results, modules, args.seed, time.monotonic() - begun)
    wrong = [result for result in results if result.wrong]
    print(f"{len(results)} cases, {len(wrong)} wrong, {time.monotonic() - begun:.0f} s")
    return int(bool(wrong))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"some of: {' '.join(KINDS)}; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="cases at once")
    parser.add_argument("--only", metavar="NAME", help="cases whose name begins so")
    parser.add_argument("--sample", action="store_true", help="those few cases that make test runs")
    parser.add_argument("--list", action="store_true", help="name the cases and run none")
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--tmp", help="where to work; needs a real file system")
    parser.add_argument("--verbose", action="store_true", help="tell of every case")
    args = parser.parse_args(argv)
    unknown = set(args.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no such kind: {' '.join(sorted(unknown))}; there are {' '.join(KINDS)}")
    return args


def choose(ground: object, args: argparse.Namespace) -> list[Case]:
    """List the cases that were asked for."""
    kinds = [args.only.partition("/")[0]] if args.only else args.kinds or KINDS
    chosen = []
    for name in kinds:
        kind = import_module(name)
        cases = kind.cases(ground, args.seed)
        if args.only:
            cases = [case for case in cases if case.name.startswith(args.only)]
        if args.sample:
            quick = [c for c in cases if not c.name.startswith(getattr(kind, "SLOW", ()))]
            cases = random.Random(f"{args.seed} {name}").sample(quick, kind.SAMPLE)
        chosen += cases
    return chosen


def tell(result: Result, args: argparse.Namespace) -> None:
    """Print what came of a case where that is worth a line."""
    state = "WRONG" if result.wrong else "skipped" if result.skipped else "right"
    if args.verbose or state != "right":
        print(f"{state} {result.name} ({result.seconds:.1f} s)", flush=True)
        if result.wrong:
            alone = ALONE.format(name=result.name, seed=args.seed)
            print(f"    {result.wrong[:3000]}\n    alone: {alone}", flush=True)
        if result.skipped:
            print(f"    {result.skipped}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
