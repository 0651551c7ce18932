"""Write the pictures and labels of the result into a folder, in the layouts of the recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from convnext_dense.config_tree import SPLITS
from convnext_dense.data.convert.pictures import Entry, put
from convnext_dense.data.convert.spool import Spool, write_coco
from convnext_dense.data.convert.tally import Tally
from convnext_dense.files import path_inside

# The names of the splits in ADE20K's layout.
MAP_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
# The number of each class, by its index, in each split.
Counts = dict[str, Counter[int]]


def write_instances(
    out: Path,
    names: Sequence[str],
    entries: Sequence[Entry],
    spool: Spool,
    tally: Tally,
    *,
    copy: bool,
    progress: Callable[[int], None],
) -> tuple[Counts, bool]:
    """Write ``train/``, ``val/`` and ``test/``, and a COCO file for each.

    Returns:
        How many objects of each class, by its index, each split has; and whether all have a mask.
    """
    (out / "annotations").mkdir()
    counts: Counts = {}
    masks, done = True, 0

    def annotations(own: Sequence[Entry], count: Counter[int]) -> Iterator[list[dict]]:
        nonlocal masks, done
        for entry in own:
            found, twice = spool.read(entry)
            if twice:
                tally.add(
                    "objects that another source has too, in the same picture",
                    entry.name,
                    objects=twice,
                    count=twice,
                )
            count.update(annotation["category_id"] - 1 for annotation in found)
            masks = masks and all("segmentation" in annotation for annotation in found)
            done += 1
            progress(done)
            yield found

    for split in SPLITS:
        own = [entry for entry in entries if entry.split == split]
        if not own:
            continue
        (out / split).mkdir()
        for entry in own:
            _put(entry, out / split, entry.name, tally, copy=copy)
        counts[split] = Counter()
        file = out / "annotations" / f"instances_{split}.json"
        write_coco(file, names, own, annotations(own, counts[split]))
    return counts, masks


def write_label_maps(
    out: Path,
    entries: Sequence[Entry],
    tally: Tally,
    *,
    copy: bool,
    progress: Callable[[int], None],
) -> Counts:
    """Write ``images/`` and ``annotations/``, each with a folder for every split.

    mmseg reads pictures of one ending: where there are several, all get the most frequent one of
    the first source. Whoever reads a picture goes by its content.

    Returns:
        In how many pictures of each split each class occurs, by its index.
    """
    first = (entry for entry in entries if entry.source == entries[0].source)
    endings = Counter(PurePosixPath(entry.name).suffix for entry in first)
    ending = max(endings, key=lambda one: (endings[one], one))
    counts: Counts = {}
    for done, entry in enumerate(entries, 1):
        assert entry.split and entry.label_map
        folder = MAP_FOLDERS[entry.split]
        name = PurePosixPath(entry.name)
        if name.suffix != ending:
            tally.add(f"pictures named {ending}, since mmseg reads one ending alone", entry.name)
        _put(entry, out / "images" / folder, str(name.with_suffix(ending)), tally, copy=copy)
        target = path_inside(out / "annotations" / folder, str(name.with_suffix(".png")))
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(entry.label_map).replace(target)
        counts.setdefault(entry.split, Counter()).update(entry.classes)
        progress(done)
    return {split: counts[split] for split in SPLITS if split in counts}


def _put(entry: Entry, folder: Path, name: str, tally: Tally, *, copy: bool) -> None:
    if not put(entry, path_inside(folder, name), copy=copy):
        tally.add("pictures were copied, since the result's file system has no links", entry.name)
