"""Check that the keys and values of a config make sense."""
