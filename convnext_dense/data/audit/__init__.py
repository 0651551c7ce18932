"""Check a config's data thoroughly, and count and name everything that is wrong."""

from convnext_dense.data.audit.audit import Audit, audit_data
from convnext_dense.data.audit.sources import audit_source
from convnext_dense.data.rules.findings import Finding

__all__ = ["Audit", "Finding", "audit_data", "audit_source"]
