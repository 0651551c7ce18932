"""Convert sources into one data set on which the recipes train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from convnext_dense.data.convert.assign import assign_splits
from convnext_dense.data.convert.classes import UNLABELLED, Classes
from convnext_dense.data.convert.earlier import (
    Record,
    add_to_earlier,
    find_earlier,
    finish_adding,
    open_earlier,
)
from convnext_dense.data.convert.gather import FORMS, INSTANCES, LABEL_MAPS, Gatherer
from convnext_dense.data.convert.label_maps import BACKGROUND, NO_OBJECTS
from convnext_dense.data.convert.pixels import with_pixels
from convnext_dense.data.convert.spool import Spool
from convnext_dense.data.convert.tally import Change
from convnext_dense.data.convert.verify import verify
from convnext_dense.data.convert.write import Counts, write_instances, write_label_maps
from convnext_dense.data.formats.source import Source
from convnext_dense.data.label_maps import check_number_of_classes
from convnext_dense.files import replacing_folder, unfinished_folder
from convnext_dense.text import nearest_first

# Pictures of a source that are looked at to see what it has.
_PEEKED = 50
# Called with what is counted; the function that it gives is called with how many are done, of all.
Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Converted:
    """What a conversion made.

    Attributes:
        out: The folder.
        form: ``instances`` or ``label-maps``.
        classes: The classes, in the order of their numbers.
        pictures: The number of pictures of each split.
        counts: How many objects of each class, by its index, each split has; of label maps, how
            many pictures with the class.
        masks: Whether all objects have masks.
        read: Pictures and objects of all sources.
        written: Pictures and objects of the result.
        changes: What is not in the result, or is in another form.
    """

    out: Path
    form: str
    classes: tuple[str, ...]
    pictures: dict[str, int]
    counts: Counts
    masks: bool
    read: tuple[int, int]
    written: tuple[int, int]
    changes: list[Change]

    @property
    def train_arguments(self) -> dict[str, object]:
        """The arguments of a training on it, by the names of ``RunOptions``."""
        arguments: dict[str, object] = dict(data_root=str(self.out), classes=self.classes)
        if self.form == INSTANCES:
            arguments["ann_train"] = "annotations/instances_train.json"
            arguments["ann_val"] = "annotations/instances_val.json"
            if not self.masks:
                arguments["box_only"] = True
        return arguments


@contextmanager
def _unwatched(what: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def convert(
    sources: Sequence[Source],
    out: str | Path,
    *,
    split: str | None = None,
    rename: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    group_by: str | None = None,
    seed: int = 0,
    copy: bool = False,
    to: str | None = None,
    colours: str | Path | None = None,
    tell: Callable[[str], None] = lambda note: None,
    watch: Watch = _unwatched,
) -> Converted:
    """Convert sources into one data set in COCO's layout, or in ADE20K's for label maps.

    It is made aside and checked, and gets its place only then. If ``out`` is an earlier result, the
    sources are added to it: its pictures stay in their splits, and none is added twice.

    Args:
        sources: What :func:`~convnext_dense.data.formats.detect.open_source` returns.
        out: The folder of the result: new, empty, or of an earlier conversion.
        split: Shares of the splits, such as ``80/10/10``; None keeps those of the sources, or takes
            80/20 if they have none.
        rename: New names of classes by old ones; a name that exists merges the two.
        drop: Classes that are left out.
        group_by: A regular expression on the names of pictures; what it matches tells groups that
            stay together, see :func:`~convnext_dense.data.convert.splits.find_groups`.
        seed: Seed of the splits.
        copy: Whether to copy the pictures; else they are linked.
        to: ``instances`` or ``label-maps``; None: what the sources have.
        colours: A table of the colours of masks; None finds it.
        tell: Called with each note for the user.
        watch: Shows how far it is.

    Raises:
        FileExistsError: If ``out`` holds something else.
        ValueError: If an argument makes no sense for these sources, or the result would be wrong.
        WriteError: If it could not be written.
    """
    out = Path(out)
    _refuse_inside(out, sources)
    record = find_earlier(out)
    if record and finish_adding(out):
        tell(f"{out} has now all of what a conversion that was interrupted was adding to it")
        record = find_earlier(out)
    if to is not None and to not in FORMS:
        raise ValueError(f"`to={to!r}` is not one of {', '.join(nearest_first(to, FORMS))}")
    given, sources = sources, [with_pixels(source, colours, tell) for source in sources]
    if colours is not None and all(one is other for one, other in zip(given, sources, strict=True)):
        raise ValueError(f"`colours={str(colours)!r}`: no source has masks")
    maps_alone = [_has_maps_alone(source) for source in sources]
    form = _form(sources, maps_alone, to, record)
    if record:
        tell(f"{out} is an earlier result, to which this is added")
        sources = [open_earlier(out, record), *sources]
        maps_alone = [record.form == LABEL_MAPS, *maps_alone]
    # VOC has both: of its maps the result takes those that it holds too.
    by_maps = [
        maps or (form == LABEL_MAPS and bool(source.pixels))
        for source, maps in zip(sources, maps_alone, strict=True)
    ]
    classes, rest = _classes(sources, by_maps, form, record, rename, drop)
    for note in classes.notes:
        tell(note)
    base = out if record else out.absolute().parent
    with unfinished_folder(base) as work, _result_folder(out, record) as part:
        with (work / "objects").open("w+b") as file:
            gatherer = Gatherer(classes, form, work, Spool(file), rest=rest)
            _read(sources, by_maps, gatherer, watch)
            entries = gatherer.entries
            for note in assign_splits(entries, split, group_by, seed, has_earlier=bool(record)):
                tell(note)
            counts, masks = _write(part, gatherer, copy, watch)
        Record(form, classes.names, rest > 0).write(part)
        labelled = _labelled(counts, tell)
        for note in _missing(classes.names, counts):
            tell(note)
        try:
            verify(part, form, classes.names, labelled, masks)
        except ValueError as error:
            raise ValueError(str(error).replace(str(part), str(out))) from None
    objects = sum(count.total() for count in counts.values()) if form == INSTANCES else 0
    return Converted(
        out,
        form,
        classes.names,
        {name: sum(entry.split == name for entry in entries) for name in counts},
        counts,
        masks,
        (gatherer.pictures, gatherer.objects),
        (len(entries), objects),
        gatherer.tally.changes,
    )


def _read(
    sources: Sequence[Source], by_maps: Sequence[bool], gatherer: Gatherer, watch: Watch
) -> None:
    """Read all sources, and keep the pictures that a training can use."""
    about = sum(source.about for source in sources)
    with watch("pictures read") as progress:
        for number, source in enumerate(sources):
            gatherer.read(number, source, by_maps[number], partial(_of, progress, about))
    gatherer.leave_out_damaged()
    if not gatherer.entries:
        changes = gatherer.tally.changes
        why = f": {changes[0].what}, such as {changes[0].places[0]}" if changes else ""
        raise ValueError(f"no picture is left to convert{why}")


def _write(part: Path, gatherer: Gatherer, copy: bool, watch: Watch) -> tuple[Counts, bool]:
    """Write the pictures and labels; return the counts, and whether all objects have masks."""
    tally, names, entries = gatherer.tally, gatherer.classes.names, gatherer.entries
    with watch("pictures written") as progress:
        shown = partial(_of, progress, len(entries))
        if gatherer.form == INSTANCES:
            return write_instances(
                part, names, entries, gatherer.spool, tally, copy=copy, progress=shown
            )
        return write_label_maps(part, entries, tally, copy=copy, progress=shown), True


def _of(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, max(done, total))


def _labelled(counts: Counts, tell: Callable[[str], None]) -> list[str]:
    """Return the splits that have labels; only test may have none."""
    empty = [split for split, count in counts.items() if not count.total()]
    if empty == ["test"]:
        tell("test has no label: its pictures are there, but no figure can be computed on them")
    elif empty:
        raise ValueError(
            f"{empty[0]} would have no label at all: `split` cuts otherwise, or drop fewer classes"
        )
    return [split for split in counts if split not in empty]


@contextmanager
def _result_folder(out: Path, record: Record | None) -> Iterator[Path]:
    """Yield a folder to fill, which becomes the result, or is added to an earlier one."""
    if record is None:
        with replacing_folder(out) as part:
            yield part
    else:
        with unfinished_folder(out) as part:
            yield part
            add_to_earlier(part, out)


def _refuse_inside(out: Path, sources: Sequence[Source]) -> None:
    """Refuse a result inside of a source, whose next conversion would read it too."""
    if not sources:
        raise ValueError("there is no source to convert")
    for source in sources:
        for folder in source.folders:
            if out.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{out} is inside of the source {folder}: name a folder outside")


def _has_maps_alone(source: Source) -> bool:
    """Whether a source has label maps and no objects, as far as its first pictures tell."""
    peeked = list(islice(source.pictures(), _PEEKED))
    return any(picture.label_map for picture in peeked) and not any(p.objects for p in peeked)


def _form(
    sources: Sequence[Source], maps_alone: Sequence[bool], to: str | None, record: Record | None
) -> str:
    """Return what the result holds."""
    if record:
        if to not in (None, record.form):
            raise ValueError(f"`to={to!r}` cannot be added to a result of {record.form}")
        return record.form
    if to:
        return to
    roots = {maps: source.root for source, maps in zip(sources, maps_alone, strict=True)}
    if len(roots) > 1:
        raise ValueError(
            f"{roots[False]} has objects and {roots[True]} has label maps: say by `to` which of "
            f"{' and '.join(FORMS)} the result has"
        )
    return LABEL_MAPS if maps_alone[0] else INSTANCES


def _classes(
    sources: Sequence[Source],
    by_maps: Sequence[bool],
    form: str,
    record: Record | None,
    rename: Mapping[str, str] | None,
    drop: Sequence[str],
) -> tuple[Classes, int]:
    """Return the classes, and the label of what nobody labelled: 0, or that of the background."""
    names = [
        list(dict.fromkeys(source.pixels.values() if maps else source.classes))
        for source, maps in zip(sources, by_maps, strict=True)
    ]
    if not any(names):
        roots = ", ".join(str(source.root) for source in sources)
        raise ValueError(f"{roots}: no picture has a label, so there is nothing to learn")
    nothing = UNLABELLED if form == LABEL_MAPS else NO_OBJECTS
    automatic = [
        name
        for own, maps in zip(names, by_maps, strict=True)
        if maps
        for name in own
        if name.casefold() in nothing and name not in (rename or {})
    ]
    # It may be dropped although no source has it, since it is made of what nobody labelled.
    keeps_background = BACKGROUND not in drop
    if form == LABEL_MAPS and not any(BACKGROUND in own for own in names):
        drop = [name for name in drop if name != BACKGROUND]
    drop = list(dict.fromkeys([*drop, *automatic]))
    classes = Classes(names, rename, drop)
    if automatic:
        listed = ", ".join(dict.fromkeys(automatic))
        classes.notes.append(f"{listed}: taken for unlabelled because of the name")
    if form == INSTANCES:
        return classes, 0
    draws = not all(by_maps)
    wanted = record.background if record else draws or len(classes.names) == 1
    if wanted and keeps_background:
        notes = classes.notes
        classes = Classes([[BACKGROUND], *names], rename, drop)
        classes.notes = [
            *notes,
            f"what nobody labelled is the class {BACKGROUND}, unless `drop` names it",
        ]
    if len(classes.names) < 2:
        raise ValueError(
            f"label maps of one class, {classes.names[0]}, teach nothing: keep another class, such "
            f"as {BACKGROUND}"
        )
    check_number_of_classes(classes.names, True, "the result")
    rest = classes.index(BACKGROUND) if wanted and keeps_background else None
    return classes, 0 if rest is None else rest + 1


def _missing(names: Sequence[str], counts: Counts) -> Iterator[str]:
    """Yield a note about classes that a split lacks."""
    for split, count in counts.items():
        lacking = [
            name
            for index, name in enumerate(names)
            if not count[index] and any(other[index] for other in counts.values())
        ]
        if lacking:
            yield f"{split} has nothing of {', '.join(lacking)}"
