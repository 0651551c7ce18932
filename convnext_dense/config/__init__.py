"""Configs before a run: how they are read, the keys that they have, the values that keys take."""
