"""Examine a machine: what is in order, what is wrong, and what it will reach."""
