"""The thorough check of a config's data: everything that is wrong, counted and named."""

from convnext_dense.data.audit.audit import Audit, audit_data
from convnext_dense.data.rules.findings import Finding

__all__ = ["Audit", "Finding", "audit_data"]
