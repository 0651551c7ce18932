"""What can be said of a model from its config alone: parameters and FLOPs."""
