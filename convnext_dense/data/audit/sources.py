"""Check a data set in the format of another tool as it is, and count its objects or pixels."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from convnext_dense.config_tree import SPLITS
from convnext_dense.data.audit.audit import Audit, Checked
from convnext_dense.data.audit.coco import MEDIUM, SMALL
from convnext_dense.data.audit.label_maps import (
    LabelMapCheck,
    check_pair,
    pixel_rows,
    report_maps,
)
from convnext_dense.data.audit.pictures import (
    Leaks,
    Picture,
    check_picture,
    map_in_workers,
    report_pictures,
)
from convnext_dense.data.formats.grouping import area_of
from convnext_dense.data.formats.source import Object, Source
from convnext_dense.data.label_maps import IGNORED
from convnext_dense.data.rules.findings import ERROR, LEVELS, NOTE, WARNING, Finding, Findings
from convnext_dense.text import many

# The split of pictures of which the source says none.
_ALL = "all"


@dataclass
class _Split:
    """What one split has: its pictures, those with a map with it, and its objects by class."""

    pictures: list[Picture] = field(default_factory=list)
    maps: list[tuple[Picture, str]] = field(default_factory=list)
    counts: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    held: int = 0  # pictures inside of label files

    def add_objects(self, objects: tuple[Object, ...]) -> None:
        for one in objects:
            size = area_of(one)
            kind = "small" if size < SMALL else "large" if size >= MEDIUM else "medium"
            keys = ["crowds"] if one.crowd or one.ignored else ["objects", kind]
            self.counts[one.label].update(keys)
        plain = {one.label for one in objects if not (one.crowd or one.ignored)}
        for label in plain:
            self.counts[label]["images"] += 1


def audit_source(source: Source, *, fast: bool = False, workers: int | None = None) -> Audit:
    """Check a data set in the format of another tool, as it is.

    Args:
        source: The data set, from :func:`~convnext_dense.data.formats.detect.open_source`.
        fast: Whether to read only the headers of pictures.
        workers: Number of processes that open pictures; None for one per core.

    Returns:
        Counts of each split, crowds and ignored objects as ``crowds``; and everything of the source
        that a conversion would leave out, change or find wrong.

    Raises:
        ValueError: If the source cannot be read at all.
    """
    splits: dict[str, _Split] = defaultdict(_Split)
    for picture in source.pictures():
        split = splits[picture.split or _ALL]
        split.add_objects(picture.objects)
        checked = Picture(str(picture.path), (picture.width, picture.height))
        if picture.content:
            split.held += 1
        elif picture.label_map:
            split.maps.append((checked, str(picture.label_map)))
        else:
            split.pictures.append(checked)
    found = list(_losses(source))
    rows: list[Checked] = []
    leaks = Leaks()
    order = [name for name in (*SPLITS, _ALL) if name in splits]
    for name in order:
        findings = Findings(name)
        rows += _check_split(findings, source, splits[name], fast, workers, leaks)
        found += findings.found
    whole = Findings(", ".join(order) or _ALL)
    whole.add_error("no picture with its labels is in the source", [] if order else [source.root])
    is_empty = order and not any(one.counts or one.maps for one in splits.values())
    whole.add_error("nothing is labelled", [source.root] if is_empty else [])
    found += [*whole.found, *leaks.findings("path" if fast else "content")]
    return Audit(rows, sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def _check_split(
    findings: Findings,
    source: Source,
    split: _Split,
    fast: bool,
    workers: int | None,
    leaks: Leaks,
) -> Iterator[Checked]:
    """Open the files of a split, and yield its counts of objects and of pixels."""
    from convnext_dense.data.loading import LoadPicture

    load, name = LoadPicture(), findings.where
    check = functools.partial(check_picture, load=load, fast=fast)
    paths = [picture.path for picture in split.pictures]
    checks = list(map_in_workers(check, paths, workers, f"{name}: images"))
    pairs = [(picture.path, label_map) for picture, label_map in split.maps]
    check_both = functools.partial(check_pair, load=load, fast=fast)
    title = f"{name}: images and label maps"
    map_checks = list(map_in_workers(check_both, pairs, workers, title))
    pictures = split.pictures + [picture for picture, _ in split.maps]
    checks += [check.image for check in map_checks]
    report_pictures(findings, pictures, checks)
    if source.format != "colours":
        report_maps(findings, [label_map for _, label_map in pairs], map_checks)
    if name != _ALL:
        leaks.add(name, pictures, checks)
    root, count = str(source.root), len(pictures) + split.held
    if split.counts or not split.maps:
        yield Checked(name, source.format, root, count, _rows(source, split))
    if split.maps:
        counted = _count_pixels(findings, source, [path for _, path in pairs], map_checks)
        yield Checked(name, source.format, f"label maps of {root}", len(pairs), counted)


def _losses(source: Source) -> Iterator[Finding]:
    """Yield what the reader could not take as it is, as findings."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    objects: Counter[tuple[str, str]] = Counter()
    for loss in source.losses:
        level = ERROR if loss.error else WARNING if loss.objects else NOTE
        kinds[level, loss.what].append(loss.place)
        objects[level, loss.what] += loss.objects
    for (level, what), places in kinds.items():
        lost = objects[level, what]
        left_out = f" ({many(lost, 'object')} left out)" if lost else ""
        yield Finding(level, _ALL, what + left_out, tuple(places))


def _rows(source: Source, split: _Split) -> list[dict]:
    titles = ("images", "objects", "small", "medium", "large", "crowds")
    counts = split.counts
    return [
        {"class": name, **{title: counts[name][title] if name in counts else 0 for title in titles}}
        for name in source.classes
    ]


def _count_pixels(
    findings: Findings, source: Source, maps: list[str], checks: list[LabelMapCheck]
) -> list[dict]:
    """Count the pixels of each class; those of colours only a conversion counts."""
    pixels: Counter[str] = Counter()
    images: Counter[str] = Counter()
    beyond = []
    classes = {value: name for value, name in source.pixels.items() if isinstance(value, int)}
    for path, check in zip(maps, checks, strict=True):
        for value, count in (check.counts or {}).items():
            if value in classes:
                pixels[classes[value]] += count
                images[classes[value]] += 1
            elif value not in (0, IGNORED):
                beyond.append(f"{path}: {value}")
    if not classes:
        return []
    findings.add_error("labels that are no class", beyond)
    names = list(classes.values())
    return pixel_rows(names, [images[name] for name in names], [pixels[name] for name in names])
