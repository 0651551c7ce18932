"""Does a COCO file have the classes of a config, and if not, what would help?"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from convnext_dense.data.rules.findings import Findings
from convnext_dense.text import classes_argument

_NAMES_SHOWN = 40
_PLAIN = {
    "its Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "upper and lower case": str.casefold,
    "white space": lambda name: " ".join(name.split()),
}


def check_names(findings: Findings, content: dict, classes: Sequence[str] | None = None) -> None:
    """Report categories that share a name, by which alone mmdet and the tables tell them apart.

    Args:
        findings: Where to report.
        content: Of the file, its records whole.
        classes: The names that matter, or None for all.
    """
    counts = Counter(category["name"] for category in content["categories"])
    names = [n for n, number in counts.items() if number > 1 and (classes is None or n in classes)]
    if not names:
        return
    used = {annotation["category_id"] for annotation in content["annotations"]}
    for name in names:
        ids = [c["id"] for c in content["categories"] if c["name"] == name]
        unused = [own for own in ids if own not in used]
        if len(unused) == len(ids) - 1:
            way_out = (
                f"no annotation has id {', '.join(map(str, unused))} (Roboflow writes its root "
                "so): delete that entry from the list categories"
            )
        else:
            way_out = "give them different names, or let all their annotations have one id"
        findings.add_error(f"categories of one name; {way_out}", [f"{name!r}: ids {_list(ids)}"])


def check_classes(
    file: str,
    key: str,
    names: Sequence[str],
    classes: Sequence[str],
    orders: Callable[[], Mapping[str, list[str]]] = dict,
) -> None:
    """Compare a file's categories with the classes of a config.

    The file may have further categories, which are then not learned. The order counts, because
    mmdet numbers the classes in the order of the file.

    Args:
        file: The annotation file.
        key: The data set's dotted key in the config.
        names: Of the categories, those of the classes each once.
        classes: Of the config.
        orders: Returns the names of the categories of each file of the config, to compare orders.

    Raises:
        ValueError: Where a class is not there, or the order is another.
    """
    chosen = [name for name in names if name in set(classes)]
    if chosen == list(classes):
        return
    listed = _list(names)
    absent = [name for name in classes if name not in names]
    if absent:
        near = nearest(absent[0], names)
        raise ValueError(
            f"annotation file {file} lacks {len(absent)} of the classes of {key}, the first is "
            f"{absent[0]!r}; its categories are {listed}{near and f'; {near}'}: {_argument(names)}"
        )
    wrong = f"annotation file {file} has the classes of {key} in another order"
    for other, theirs in orders().items():
        theirs = [name for name in theirs if name in set(classes)]
        if set(theirs) == set(chosen) and theirs != chosen:
            raise ValueError(
                f"{wrong}, {_list(chosen)}, and {other} has {_list(theirs)}; mmdet numbers the "
                "classes in the order of each file: sort the list categories of one file as it is "
                "in the other, the ids stay as they are"
            )
    raise ValueError(f"{wrong}; its categories are {listed}: {_argument(chosen)}")


def nearest(name: str, names: Sequence[str]) -> str:
    """Return which of the names is nearly the one that is absent, and in what they differ.

    Returns:
        A clause for a message, or nothing.
    """
    for other in names:
        if _plain(other) == _plain(name):
            differs = [one for one in _PLAIN if _plain(other, but=one) != _plain(name, but=one)]
            # A no-break space is of two kinds.
            what = " and ".join(differs) or "how it is encoded"
            return f"{other!a} of the file differs from {name!a} only in {what}: write both alike"
    return ""


def _argument(names: Sequence[str]) -> str:
    return classes_argument(names) if len(names) <= _NAMES_SHOWN else "`classes=('a', 'b', ...)`"


def _list(names: Sequence[object]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(str, names[:_NAMES_SHOWN])) + more


def _plain(name: str, but: str = "") -> str:
    """Return a name without what the eye overlooks."""
    for what, step in _PLAIN.items():
        name = name if what == but else step(name)
    return name
