"""Leave out pictures that a training would refuse, before they are cut into splits."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from convnext_dense.data.audit.pictures import check_picture, map_in_workers
from convnext_dense.data.convert.pictures import Entry
from convnext_dense.data.convert.spool import Spool
from convnext_dense.data.convert.tally import Tally


def sound_pictures(entries: Sequence[Entry], spool: Spool, tally: Tally) -> list[Entry]:
    """Open all pictures as a training does, and return those that it can use.

    Args:
        entries: The pictures.
        spool: Has their objects, to count those that are left out.
        tally: Counts what is left out.
    """
    from convnext_dense.data.loading import LoadPicture, other_size

    check = functools.partial(check_picture, load=LoadPicture(), fast=False)
    sound = []
    paths = [entry.path for entry in entries]
    checks = map_in_workers(check, paths, None, "pictures opened")
    for entry, found in zip(entries, checks, strict=True):
        problem, what = found.problem, "pictures that are damaged"
        if not problem and found.size != entry.size:
            what = "pictures of another size than their labels are for"
            problem = other_size(entry.path, found.size, entry.size, found.header)
        if problem:
            objects = len(spool.read(entry)[0])
            place = f"{entry.name}: {problem}"
            tally.add(what, place, pictures=1, objects=objects, is_error=True)
        else:
            sound.append(entry)
    return sound
