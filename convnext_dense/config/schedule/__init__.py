"""The length of a training, and what follows it: schedulers, intervals and stages."""
