"""Damaged checkpoints are recognised by their bytes, before anything is read from them.

Fault: torch 2.13 writes the CRC-32 of every record into a checkpoint, but ``torch.load`` never
checks it, so that a file with flipped bits loads without an error.
Reach: every checkpoint that this package reads, and from the start of a run on those that mmengine
reads.
Off-switch: its name.
End: when ``torch.load`` checks it.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

from convnext_dense.upstream._switches import is_off

BLOCK = 1 << 20
# Largest compression of a file. torch compresses nothing, and compressing parameters gains little;
# a larger ratio means that the file was made to fill the memory.
PACKED = 100


def find_damage(path: Path, *, any_pickle: bool = False) -> str | None:
    """Return what is wrong with a file, as the end of a sentence that begins with its name.

    Args:
        path: The file, which exists.
        any_pickle: Whether to accept pickles that ``weights_only=True`` cannot read, such as those
            by torch before 0.1.10.

    Returns:
        None if it may be a whole checkpoint of torch or safetensors. Files of safetensors, and of
        torch before 1.6, have no checksums.
    """
    if is_off("checkpoint_damage"):
        return None
    size = path.stat().st_size
    if not size:
        return "is empty; get it anew"
    with path.open("rb") as file:
        head = file.read(64)
    header = int.from_bytes(head[:8], "little")
    named_safetensors = path.suffix == ".safetensors"
    if head[8:9] == b"{" and header < 2**30:
        if not named_safetensors:
            return f"is a safetensors file, but is called *{path.suffix}: rename it"
        return None if header + 8 <= size else "is truncated; get it anew"
    if head.startswith(b"PK"):
        # The table of contents is at the end of a zip file.
        if not zipfile.is_zipfile(path):
            return "is truncated; get it anew"
        if not named_safetensors:
            return _find_damaged_record(path)
    elif head.lstrip().startswith(b"<"):
        return "is a web page, not a checkpoint; get it anew"
    # A pickle, as written by torch before 1.6.
    elif not head.startswith(b"\x80") and (named_safetensors or not any_pickle):
        return f"is not a {'safetensors file' if named_safetensors else 'PyTorch checkpoint'}"
    return (
        "is a PyTorch file, but is called *.safetensors: rename it" if named_safetensors else None
    )


def is_mappable(path: Path) -> bool:
    """Whether a file's parameters are not compressed, so that ``torch.load`` may map them.

    It would also map compressed records, and read their bytes as numbers.
    """
    if not zipfile.is_zipfile(path):  # torch before 1.6
        return False
    with zipfile.ZipFile(path) as archive:
        return all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def _find_damaged_record(path: Path) -> str | None:
    record = "its table of contents"
    try:
        with zipfile.ZipFile(path) as archive:
            records = [info for info in archive.infolist() if info.file_size]
            if sum(info.file_size for info in records) > PACKED * path.stat().st_size:
                return f"is refused: it unpacks to more than {PACKED} times its size"
            names = Counter(info.filename for info in archive.infolist())
            name, count = names.most_common(1)[0] if names else ("", 0)
            if count > 1:  # different readers use a different one of them
                return f"is damaged: it has the record {name!r} {count} times; get it anew"
            if not any(info.CRC for info in records):
                return None  # torch.serialization.set_crc32_options(False) wrote it
            for info in records:
                record = f"its record {info.filename!r}"
                with archive.open(info) as content:
                    while content.read(BLOCK):  # raises where the checksum differs
                        pass
    except Exception:  # damaged bytes may cause any error
        return f"is damaged: {record} does not fit its checksum; get it anew"
    return None
