"""Write docs/upstream.md from the docstrings of convnext_dense/upstream/."""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from convnext_dense.cli.errors import add_debug_option, run_tool
from convnext_dense.files import write_whole

ROOT = Path(__file__).parent.parent
FIELDS = ("Fault", "Reach", "Off-switch", "End")
INTRODUCTION = """\
# What is changed in other packages

<!-- written by tools/upstream.py from the docstrings of convnext_dense/upstream/ -->

mmengine 0.10.7, mmcv 2.1.0, mmdet 3.3.0 and mmseg 1.2.2 are older than today's torch, and have
faults of their own. Each workaround is a file of `convnext_dense/upstream/`, which this page lists.

`import convnext_dense` changes nothing for other code, but that `mmcv.ops` can be imported where
mmcv is lite. The rest is changed when a run of ours starts, for the whole process: by one of the
tools, by `Predictor`, by `convnext_dense.enable()`, or where a registry builds our backbone or what
else a config names of ours. So configs with `custom_imports = dict(imports=['convnext_dense'])`
train, test and resume in mmdet's and mmseg's own tools. `ConvNeXt(...)` and `load_weights(...)`,
called from Python, change nothing, unless the weights are named by a scheme of mmengine's such as
`torchvision://`.

A workaround is left out by its name: with commas in the environment variable
`CONVNEXT_DENSE_UPSTREAM_OFF`, which holds in every program, or before anything starts a run:

```python
import convnext_dense

convnext_dense.enable(without=["roi_precision", "config_format"])
```

What is changed once stays changed until the process ends.
"""


@dataclass(frozen=True)
class Workaround:
    """What a file's docstring says, as text of one line each.

    Attributes:
        name: The file's name without its ending.
        title: The first line.
        fields: By the names of :data:`FIELDS`.
    """

    name: str
    title: str
    fields: dict[str, str]


def read(path: Path) -> Workaround:
    """Read a file of the folder.

    Raises:
        ValueError: Where its docstring lacks a field, or has them in another order.
    """
    title, *parts = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    lines = re.split(r"^([A-Z][a-z-]+): ", parts[0] if parts else "", flags=re.MULTILINE)
    fields = dict(zip(lines[1::2], (" ".join(text.split()) for text in lines[2::2]), strict=True))
    if lines[0] or tuple(fields) != FIELDS or not all(fields.values()):
        raise ValueError(f"{path}: its docstring's second part is not of {', '.join(FIELDS)}")
    return Workaround(path.stem, title, fields)


def files(folder: Path) -> list[Path]:
    """List the files of the folder that are workarounds, by their names."""
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def render(folder: Path) -> str:
    """Lay the page out."""
    sections = [INTRODUCTION]
    for one in map(read, files(folder)):
        items = (f"- **{name}**: {_markdown(text)}" for name, text in one.fields.items())
        body = "\n".join(
            textwrap.fill(
                item, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
            for item in items
        )
        sections.append(f"## {one.name}\n\n{_markdown(one.title)}\n\n{body}\n")
    return "\n".join(sections)


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_debug_option(parser)
    parser.parse_args(argv)
    write_whole(ROOT / "docs" / "upstream.md", render(ROOT / "convnext_dense" / "upstream"))


if __name__ == "__main__":
    sys.exit(run_tool(main))
