"""The rules for annotations, for the thorough check and for the check before every run."""

from convnext_dense.data.rules.annotations import check_annotations
from convnext_dense.data.rules.coco_file import read_lists
from convnext_dense.data.rules.findings import Finding, Findings
from convnext_dense.data.rules.records import check_records

__all__ = ["Finding", "Findings", "check_annotations", "check_records", "read_lists"]
