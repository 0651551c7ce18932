"""Published checkpoints into the backbone: what does not match stops the run.

Importing it lets mmengine, too, load from the web by :mod:`.cached_download`.
"""

from convnext_dense.checkpoints import cached_download
from convnext_dense.checkpoints.load import load_weights
from convnext_dense.checkpoints.report import LoadReport

cached_download.register()

__all__ = ["LoadReport", "load_weights"]
