"""Measures speed and memory: our backbone beside its peers', and whole models of configs."""
