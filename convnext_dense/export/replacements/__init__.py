"""What stands in for upstream's functions while a model is exported: see :func:`exportable`.

A function of mmdet or mmseg cannot be traced where its Python code looks at values, or where its
tensors have as many rows as the picture has objects. Each file here replaces a group of such
functions by others that compute exactly the same, with a number of rows that does not depend on
the picture: a row that is missing has score 0 and an empty box.
"""

from convnext_dense.export.replacements import (  # noqa: F401  registers them
    boxes,
    dense,
    masks,
    metainfo,
    nms,
    picture_masks,
    pooling,
    roi,
    sizes,
    torch_onnx,
)
from convnext_dense.export.replacements.replace import exportable

__all__ = ["exportable"]
