"""Measure speed and memory: our backbone beside its peers, and whole models of configs."""

# The choices of the command line, which must not import torch for its help.
MODES = ("infer", "train")
DTYPES = ("fp32", "bf16", "amp")
FORMATS = ("contiguous", "channels_last")
PEER_NAMES = ("meta", "timm", "transformers", "torchvision", "mmpretrain", "vit")
