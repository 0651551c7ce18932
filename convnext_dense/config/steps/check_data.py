"""Check the data of a run before it begins."""

from __future__ import annotations

from collections import Counter

from convnext_dense.config.data.box_only import check_masks
from convnext_dense.config.state import Plan
from convnext_dense.data.check import check_data
from convnext_dense.ranks import decided_by_rank_0


def check_run_data(plan: Plan) -> Plan:
    """Check the data that the run loads, in one process for all; add warnings as notes.

    Masks that the head would not read are refused too.

    Raises:
        FileNotFoundError: If a folder or file is missing.
        ValueError: If annotations cannot be read, break a rule or do not fit the config.
    """
    check_masks(plan.config)
    objects: Counter[str] = Counter()
    found, objects = decided_by_rank_0(
        lambda: (check_data(plan.config, plan.splits, objects), objects)
    )
    notes = [f"{finding.where}: {finding.sentence}" for finding in found]
    return plan.changed(plan.config, *notes, objects=objects)
