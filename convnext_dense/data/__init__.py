"""Load and check data, and make the data set of the demo."""
