"""Your own data under a published config, checks before a run, and the data set of the demo."""
