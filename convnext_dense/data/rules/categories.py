"""Check that a COCO file has the classes of a config."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from convnext_dense.data.rules.findings import Findings
from convnext_dense.text import classes_argument, listed

_NAMES_SHOWN = 40
_PLAIN = {
    "its Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "upper and lower case": str.casefold,
    "white space": lambda name: " ".join(name.split()),
}


def check_names(findings: Findings, content: dict, classes: Sequence[str] | None = None) -> None:
    """Report categories that share a name, since mmdet identifies classes by their names.

    Args:
        findings: Collects the report.
        content: The valid records of the file.
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
            remedy = (
                f"no annotation has id {', '.join(map(str, unused))} (Roboflow writes its root "
                "so): delete that entry from the list categories"
            )
        else:
            remedy = "give them different names, or give all their annotations one id"
        findings.add_error(f"categories of one name; {remedy}", [f"{name!r}: ids {_list(ids)}"])


def check_classes(
    file: str,
    key: str,
    names: Sequence[str],
    classes: Sequence[str],
    orders: Callable[[], Mapping[str, list[str]]] = dict,
) -> None:
    """Compare a file's categories with the classes of a config.

    The file may have further categories, which are not learned. The order matters, because mmdet
    numbers the classes in the order of the file.

    Args:
        file: The annotation file.
        key: The data set's dotted key in the config.
        names: Names of the categories, those of classes only once.
        classes: Classes of the config.
        orders: Function that returns the names of the categories in each file of the config.

    Raises:
        ValueError: If a class is missing, or the order differs.
    """
    chosen = [name for name in names if name in set(classes)]
    if chosen == list(classes):
        return
    known = _list(names)
    absent = [name for name in classes if name not in names]
    if absent:
        near = nearest(absent[0], names)
        raise ValueError(
            f"annotation file {file} lacks {len(absent)} of the classes of {key}, the first is "
            f"{absent[0]!r}; its categories are {known}{near and f'; {near}'}: {_argument(names)}"
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
    raise ValueError(f"{wrong}; its categories are {known}: {_argument(chosen)}")


def nearest(name: str, names: Sequence[str]) -> str:
    """Find a name that differs from a missing one only in ways that are easily overlooked.

    Returns:
        A clause for a message, or an empty text.
    """
    for other in names:
        if _plain(other) == _plain(name):
            differs = [one for one in _PLAIN if _plain(other, but=one) != _plain(name, but=one)]
            # Such as two kinds of no-break space.
            what = " and ".join(differs) or "how it is encoded"
            return f"{other!a} of the file differs from {name!a} only in {what}: write both alike"
    return ""


def _argument(names: Sequence[str]) -> str:
    return classes_argument(names) if len(names) <= _NAMES_SHOWN else "`classes=('a', 'b', ...)`"


def _list(names: Sequence[object]) -> str:
    return listed(names, _NAMES_SHOWN)


def _plain(name: str, but: str = "") -> str:
    """Return a name without differences that are easily overlooked, except those in ``but``."""
    for what, step in _PLAIN.items():
        name = name if what == but else step(name)
    return name
