"""Reads a COCO file entry by entry: what is none is reported, and the others are kept."""

from __future__ import annotations

from convnext_dense.data.check_coco import read_lists
from convnext_dense.data.rules.findings import Findings

_ID = (int, float, str)
# Without these an entry belongs nowhere. Others, such as a box, are checked with their values.
_FIELDS = {
    "images": dict(id=_ID, file_name=str),
    "categories": dict(id=_ID, name=str),
    "annotations": dict(id=_ID, image_id=_ID, category_id=_ID),
}
# By what an annotation names them.
_LINKS = {"images": "image_id", "categories": "category_id"}
_KINDS = {_ID: "number or text", str: "text"}
_LONGEST = 40


def read_entries(findings: Findings, file: str, key: str) -> dict:
    """Read the entries of a COCO file that can be looked at, and report the others.

    Args:
        findings: Where to report.
        file: The annotation file.
        key: Its dotted key in the config, for messages.

    Returns:
        The content of the file. Of its lists those entries that have ids, and the name of a file
        or a category; images may lack a size, annotations a box or an area. With an image or a
        category that is left out its annotations are, too.

    Raises:
        ValueError: Where the file is not JSON or not COCO.
    """
    content = read_lists(file, key)
    for kind, fields in _FIELDS.items():
        whole, lost, ids = [], [], set()
        for index, entry in enumerate(content[kind]):
            problem = _problem(entry, fields)
            if not problem:
                whole.append(entry)
                continue
            own = entry.get("id") if isinstance(entry, dict) else None
            has_id = isinstance(own, _ID)
            lost.append(f"{kind}[{index}]{f' (id {own})' if has_id else ''}{problem}")
            ids |= {own} if has_id else set()
        content[kind] = whole
        findings.error(
            f"{kind} that are left out here: COCO's format wants {{...}} with {', '.join(fields)}",
            lost,
        )
        if ids and kind in _LINKS:
            content["annotations"] = [
                annotation
                for annotation in content["annotations"]
                if _problem(annotation, {_LINKS[kind]: _ID}) or annotation[_LINKS[kind]] not in ids
            ]
    return content


def _problem(entry: object, fields: dict[str, object]) -> str:
    if not isinstance(entry, dict):
        return f" is {_shown(entry)}"
    for field, kind in fields.items():
        if field not in entry:
            return f" has no {field}"
        if not isinstance(entry[field], kind):
            return f": {field} is {_shown(entry[field])}, no {_KINDS[kind]}"
    return ""


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
