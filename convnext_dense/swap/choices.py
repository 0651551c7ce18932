"""What can be asked of a swap, for command lines that do not make one yet."""

RECIPES = ("keep", "convnext")
MODES = ("auto", "native", "adapter")
