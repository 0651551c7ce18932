"""Writes docs/reliability.md: what was attacked, how often, and what came of it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from types import ModuleType

from harness import ROOT, Result

PAGE = ROOT / "docs" / "reliability.md"
HEAD = """# Reliability

What the toolkit does when things go wrong: runs that are killed, full disks, damaged and hostile
files, servers that lie, wrong command lines. `make attack` tries it with the real tools on small
data and models, and writes this page. `make test` tries some cases of each kind.

{summary} Seed {seed}, {date}, {minutes} minutes on {cores} cores; {versions}.

| attack | tried | right | wrong |
|---|---:|---:|---:|
"""
ALONE = """
## Again, or one case alone

```bash
make attack                                       # all, and this page
make attack ARGS="--seed 1"                       # other random moments and damages, and this page
make attack ARGS="kills disk"                     # some kinds
make attack ARGS="--only kills/random-03"         # one case
make attack ARGS="--list"                         # all their names
```

A case that goes wrong prints the command that runs it alone. The random kills count CPU time, so
that they come at about the same moments each time; all other cases are the same for the same seed.
"""


def write(
    results: Sequence[Result], kinds: Mapping[str, ModuleType], seed: int, seconds: float
) -> None:
    """Write the page.

    Args:
        results: Of all cases.
        kinds: The modules of the attacks by name.
        seed: Of the attacks.
        seconds: How long it took.
    """
    rows, reasons = [], []
    for name, kind in kinds.items():
        groups = getattr(kind, "GROUPS", None) or {name: kind.TITLE}
        for prefix, title in groups.items():
            of_group = [r for r in results if r.name.startswith(prefix)]
            rows.append(_row(title, of_group))
        reasons.append(f"**{kind.TITLE[0].upper()}{kind.TITLE[1:]}.** {kind.RIGHT}\n")
    tried = sum(result.tried for result in results if not result.skipped)
    wrong = sum(result.tried for result in results if result.wrong)
    skipped = [result for result in results if result.skipped]
    summary = f"{tried} attacks, {wrong} of them wrong."
    if skipped:
        summary += f" {len(skipped)} could not be tried on this machine."
    head = HEAD.format(
        summary=summary,
        seed=seed,
        date=datetime.date.today().isoformat(),
        minutes=round(seconds / 60),
        cores=os.cpu_count(),
        versions=_versions(),
    )
    text = "".join([head, *rows, "\n## What counts as right\n\n", "\n".join(reasons), ALONE])
    PAGE.write_text(text)


def _row(title: str, results: Sequence[Result]) -> str:
    tried = sum(result.tried for result in results if not result.skipped)
    wrong = sum(result.tried for result in results if result.wrong)
    return f"| {title} | {tried} | {tried - wrong} | {wrong} |\n"


def _versions() -> str:
    from importlib.metadata import version

    names = ("torch", "numpy", "mmengine", "mmdet", "mmsegmentation")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return f"Linux {platform.release()}, Python {platform.python_version()}, {packages}"
