"""The rules that annotations must keep: one set, for the check and before every run."""

from convnext_dense.data.rules.findings import Finding, Findings

__all__ = ["Finding", "Findings"]
