"""Change the data of a config: its paths, classes, image size and masks."""
