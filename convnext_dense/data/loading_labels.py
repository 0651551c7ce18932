"""Load label maps in a run as mmseg does, but refuse those that mmseg would misread silently."""

from __future__ import annotations

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmengine.registry import TRANSFORMS
from mmseg.datasets.transforms import LoadAnnotations

from convnext_dense.data.decoding import any_size, read_header
from convnext_dense.data.label_maps import (
    IGNORED,
    check_label_header,
    not_whole,
    read_label_map,
)


@TRANSFORMS.register_module()
class LoadLabelMap(LoadAnnotations):
    """mmseg's LoadAnnotations with checks of each label map.

    A map is refused if it is damaged, holds colours or labels that are not classes, or has another
    size than its image.

    Args:
        num_classes: Number of classes of the data set.
        ignored: A further label, beside 255, that the model's loss ignores.
        kwargs: Arguments of LoadAnnotations.
    """

    def __init__(self, num_classes: int, ignored: int = IGNORED, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_classes, self.ignored = num_classes, ignored

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']``.

        Raises:
            OSError: If there is no such file.
            ValueError: If the map cannot be used; the message names it.
        """
        path = results["seg_map_path"]
        if self.imdecode_backend != "pillow":  # a format whose headers Pillow may not know
            super()._load_seg_map(results)
        else:
            content = fileio.get(path, backend_args=self.backend_args)
            header = check_label_header(read_header(content, path), path)
            if header.bits > 8:
                read_label_map(content, path)  # mmseg keeps the lower 8 bits
            try:
                with any_size():
                    super()._load_seg_map(results)
            except (OSError, SyntaxError) as error:
                raise ValueError(not_whole(path, error)) from error
        labels = results["gt_seg_map"]
        if labels.shape != results["ori_shape"]:
            (height, width), (image_height, image_width) = labels.shape, results["ori_shape"]
            raise ValueError(
                f"label map {path} measures {width} x {height}, but its image "
                f"{results['img_path']} {image_width} x {image_height}: label maps are not turned "
                "by an EXIF orientation of the image"
            )
        present = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]))
        allowed = (IGNORED, self.ignored)
        beyond = [int(v) for v in present if v >= self.num_classes and v not in allowed]
        if beyond:
            first = int(bool(self.reduce_zero_label))
            raise ValueError(
                f"label map {path} holds label {beyond[0] + first}, but the classes are "
                f"{first} to {self.num_classes - 1 + first}, and {IGNORED} is ignored"
            )
