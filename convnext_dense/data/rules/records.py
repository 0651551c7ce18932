"""Check the records of a COCO file: their fields, and the ids that connect them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from convnext_dense.data.rules.field_kinds import (
    AREA,
    BOX,
    FLAG,
    ID,
    SIDE,
    TEXT,
    WHOLE,
    Kind,
    as_json,
    is_id,
)
from convnext_dense.data.rules.findings import Findings

SINGULAR = {"images": "image", "categories": "category", "annotations": "annotation"}
# Fields without which a record cannot be used. pycocotools needs numbers as ids of annotations.
_BELONGS = {
    "images": {"id": ID, "file_name": TEXT},
    "categories": {"id": ID, "name": TEXT},
    "annotations": {"id": WHOLE, "image_id": ID, "category_id": ID},
}
_OTHERS = {
    "images": {"width": SIDE, "height": SIDE},
    "categories": {},
    "annotations": {"bbox": BOX, "area": AREA, "iscrowd": FLAG, "ignore": FLAG},
}
# The fields by which annotations refer to images and categories.
LINKS = {"images": "image_id", "categories": "category_id"}


def check_records(findings: Findings, content: dict, *, evaluated: bool) -> dict:
    """Check the fields of the records of a COCO file, and the ids that connect them.

    Args:
        findings: Collects the report.
        content: Result of :func:`~convnext_dense.data.rules.coco_file.read_lists`.
        evaluated: Whether it is compared with predictions, for which pycocotools needs ``iscrowd``.
            In training, an annotation without it is not a crowd.

    Returns:
        The content with only the valid records, so that further checks can find other faults. An
        image with a wrong size is kept. If an image or a category is left out, its annotations are
        left out too.
    """
    optional = {"ignore"} if evaluated else {"ignore", "iscrowd"}
    whole, gone = {}, {}
    for kind in SINGULAR:
        records = content[kind]
        lost = _check_fields(findings, kind, records, _BELONGS[kind])
        if kind in LINKS:
            gone[LINKS[kind]] = {_id_of(records[index]) for index in lost} - {None}
        records = _without(records, lost)
        lost = _check_fields(findings, kind, records, _OTHERS[kind], optional)
        whole[kind] = records if kind == "images" else _without(records, lost)
    whole["annotations"] = [
        annotation
        for annotation in whole["annotations"]
        if not any(annotation[link] in ids for link, ids in gone.items())
    ]
    whole = {**content, **whole}
    _check_ids(findings, whole)
    return whole


def name_of(kind: str, record: dict) -> str:
    """Return the name of a record with an id, such as ``annotation 17``."""
    own = record["id"]
    return f"{SINGULAR[kind]} {as_json(own) if isinstance(own, str) else own}"


def has_size(image: dict) -> bool:
    """Whether an image has a valid width and height."""
    return SIDE.holds(image.get("width")) and SIDE.holds(image.get("height"))


def _check_fields(
    findings: Findings,
    kind: str,
    records: list,
    fields: dict[str, Kind],
    optional: Container[str] = (),
) -> set[int]:
    """Report fields that are missing or wrong, and return the indices of their records."""
    broken = [index for index, record in enumerate(records) if not isinstance(record, dict)]
    findings.add_error(
        f"COCO's format wants {{...}} as each of the {kind}",
        (f"{kind}[{index}] is {as_json(records[index])}" for index in broken),
    )
    lost = set(broken)
    for field, wanted in fields.items():
        wrong = [
            index
            for index, record in enumerate(records)
            if index not in lost
            and not (wanted.holds(record[field]) if field in record else field in optional)
        ]
        findings.add_error(
            f"COCO's format wants {field} of {SINGULAR[kind]} to be {wanted.wants}",
            (
                f"{_place(kind, index, records[index])}{_said(records[index], field)}"
                for index in wrong
            ),
        )
        lost.update(wrong)
    return lost


def _place(kind: str, index: int, record: dict) -> str:
    return f"{kind}[{index}]" if _id_of(record) is None else name_of(kind, record)


def _said(record: dict, field: str) -> str:
    return f": {field} is {as_json(record[field])}" if field in record else f" has no {field}"


def _id_of(record: object) -> object:
    own = record.get("id") if isinstance(record, dict) else None
    return own if is_id(own) else None


def _without(records: list, places: set[int]) -> list:
    if not places:
        return records
    return [record for index, record in enumerate(records) if index not in places]


def _check_ids(findings: Findings, content: dict) -> None:
    """Report ids that are used twice, and ids in annotations that no image or category has."""
    for kind in SINGULAR:
        counts = Counter(record["id"] for record in content[kind])
        findings.add_error(
            f"ids that several {kind} have: number them",
            (f"id {as_json(own)}" for own, number in counts.items() if number > 1),
        )
    for kind, link in LINKS.items():
        known = {record["id"] for record in content[kind]}
        texts = sum(isinstance(own, str) for own in known)
        if 0 < texts < len(known):
            findings.add_error(
                f"ids of {kind} that are numbers while others are texts: write all as numbers or "
                "all as texts",
                (f"{SINGULAR[kind]} {own}" for own in known if not isinstance(own, str)),
            )
        findings.add_error(
            f"annotations whose {link} is not among the {kind} of the file",
            (
                f"{name_of('annotations', annotation)}: {link} {as_json(annotation[link])}"
                for annotation in content["annotations"]
                if annotation[link] not in known
            ),
        )
    files = Counter(image["file_name"] for image in content["images"])
    findings.add_warning(
        "files that several images share", (name for name, number in files.items() if number > 1)
    )
