"""What can be measured, for a command line that does not measure yet."""

MODES = ("infer", "train")
DTYPES = ("fp32", "bf16", "amp")
FORMATS = ("contiguous", "channels_last")
PEER_NAMES = ("meta", "timm", "transformers", "torchvision", "mmpretrain")
