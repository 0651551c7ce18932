"""Read, check and change configs before a run."""
