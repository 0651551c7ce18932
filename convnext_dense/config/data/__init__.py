"""Where the data of a config is and what it shows: paths, classes, image size, masks."""
