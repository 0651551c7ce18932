"""Load pictures in a run as mmcv does, but refuse those that would be learned or scored wrongly.

Training, test, ``data check``, ``data show`` and prediction all load with :class:`LoadPicture`, so
that they report the same about a file.
"""

from __future__ import annotations

import logging

import mmengine.fileio as fileio
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS

from convnext_dense.data.decoding import Header, decode, read_header
from convnext_dense.download import fetch_picture

# Remarks that are logged once for each pipeline.
DEPTH = (
    "holds {bits} bits per value, of which LoadImageFromFile keeps 8: its color_type='unchanged' "
    "with imdecode_backend='cv2', and ScaleValues behind it, keep all"
)
FRAMES = "holds several pages or frames, of which only the first is used"
TURNED = (
    "is turned or mirrored by its EXIF orientation {orientation}: check that its annotations are "
    "too; color_type='color_ignore_orientation' leaves pictures as they are stored"
)
REMARKS = (DEPTH, FRAMES, TURNED)


@TRANSFORMS.register_module()
class LoadPicture(LoadImageFromFile):
    """mmcv's LoadImageFromFile with checks of each picture.

    A picture is refused if it is damaged, cut off, has too many pixels or another size than
    annotated. What the loader leaves out of a picture is logged once.

    Args:
        kwargs: Arguments of LoadImageFromFile.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        # Shared by the loader's worker processes, so that only one of them logs.
        self._said = torch.zeros(len(REMARKS), dtype=torch.bool).share_memory_()

    def transform(self, results: dict) -> dict | None:
        """Load ``results['img_path']``.

        Args:
            results: The sample, with ``height`` and ``width`` if the annotations state them.

        Returns:
            The sample with ``img``, ``img_shape`` and ``ori_shape``; None if the picture cannot be
            read and ``ignore_empty`` is set.

        Raises:
            OSError: If there is no such file.
            ValueError: If the picture cannot be used; the message names it.
        """
        path = results["img_path"]
        try:
            content = self._read(path)
            header = read_header(content, path)
            image = decode(content, path, self.color_type, self.imdecode_backend)
        except (OSError, ValueError):
            if self.ignore_empty:
                return None
            raise
        height, width = image.shape[:2]
        wide, high = results.get("width"), results.get("height")
        if wide is not None and high is not None and (wide, high) != (width, height):
            annotated = (wide, high)
            message = other_size(path, (width, height), annotated, header)
            raise ValueError(f"{message}: {_remedy((width, height), annotated, header)}")
        if header:
            is_annotated = "instances" in results or "seg_map_path" in results
            for remark in remarks(header, image, self.color_type, is_annotated):
                self._say_once(path, header, remark)
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = (height, width)
        return results

    def _read(self, path: str) -> bytes:
        if path.startswith(("http://", "https://")):  # mmengine has no time-out and no size limit
            return fetch_picture(path)
        if self.file_client_args is not None:
            return fileio.FileClient.infer_client(self.file_client_args, path).get(path)
        return fileio.get(path, backend_args=self.backend_args)

    def _say_once(self, path: str, header: Header, remark: str) -> None:
        index = REMARKS.index(remark)
        if self._said[index]:
            return
        self._said[index] = True
        words = remark.format(bits=header.bits, orientation=header.orientation)
        message = f"{path} {words} (logged once; `audit_data` names all such pictures)"
        print_log(message, logger="current", level=logging.WARNING)


@TRANSFORMS.register_module()
class ScaleValues(BaseTransform):
    """Scale the values of a picture to 0 to 255, and repeat a single channel three times.

    For pictures of 12 or 16 bits, after ``LoadImageFromFile`` with ``color_type='unchanged'``: then
    mean, standard deviation and pretrained weights for pictures of 8 bits can be used.

    Args:
        high: The value that becomes 255, as all higher values do.
        low: The value that becomes 0, as all lower values do.

    Raises:
        ValueError: If ``high`` is not above ``low``.
    """

    def __init__(self, high: float, low: float = 0) -> None:
        if not high > low:
            raise ValueError(f"ScaleValues: high must be above low, got high={high}, low={low}")
        self.high, self.low = high, low

    def transform(self, results: dict) -> dict:
        """Scale ``results['img']`` to float32."""
        image = (results["img"].astype(np.float32) - self.low) * (255 / (self.high - self.low))
        image = image.clip(0, 255)
        if channels_of(image) == 1:
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        results["img"] = image
        return results


@TRANSFORMS.register_module()
class CheckChannels(BaseTransform):
    """Refuse a picture with wrong channels for the model, and name the transform that changed them.

    A pipeline has one of these after each transform. A transform may change a picture to the
    model's number of channels, but not away from it.

    Args:
        channels: Number of channels that the model takes.
        after: The transform before this one, for the message.
        last: Whether this is the last one before the picture is packed.
    """

    def __init__(self, channels: int, after: str, last: bool) -> None:
        self.channels, self.after, self.last = channels, after, last

    def transform(self, results: dict) -> dict:
        """Check ``results['img']``."""
        found = channels_of(results["img"])
        if found == self.channels:
            results["channels_fit"] = True
        elif results.get("channels_fit"):
            raise ValueError(
                f"{results.get('img_path')}: {self.after} changes {self.channels} channels to "
                f"{found}, but model.backbone.in_channels is {self.channels}: remove it from the "
                "pipeline"
            )
        elif self.last:
            raise ValueError(
                f"{results.get('img_path')}: the picture comes out of the pipeline with {found} "
                f"channels, but model.backbone.in_channels is {self.channels}: color_type="
                "'unchanged' in LoadImageFromFile keeps a picture's own, 'color' gives 3"
            )
        return results


def channels_of(image: np.ndarray) -> int:
    """Return the number of channels of an (H, W) or (H, W, C) array."""
    return 1 if image.ndim == 2 else image.shape[2]


def remarks(
    header: Header, image: np.ndarray | None, color_type: str, is_annotated: bool
) -> list[str]:
    """List what the loader leaves out of a picture, or changes in it.

    Args:
        header: Header of the picture.
        image: The loaded picture; None if only the header was read.
        color_type: The loader's ``color_type``.
        is_annotated: Whether the picture has annotations, which may fit another orientation.

    Returns:
        The items of :data:`REMARKS` that apply.
    """
    found = []
    is_cut = color_type != "unchanged" if image is None else image.dtype == np.uint8
    if header.bits > 8 and is_cut:
        found.append(DEPTH)
    if header.has_frames:
        found.append(FRAMES)
    # If the sizes differ, the annotated size tells which orientation is meant.
    if is_annotated and is_turned(header, color_type) and header.shown_size == header.size:
        found.append(TURNED)
    return found


def is_turned(header: Header, color_type: str) -> bool:
    """Whether mmcv turns or mirrors a picture as its EXIF orientation says."""
    return header.orientation != 1 and color_type in ("color", "grayscale")


def other_size(
    path: str, size: tuple[int, int], annotated: tuple[int, int], header: Header | None
) -> str:
    """Return the message that a picture has another size than annotated.

    Args:
        path: Path of the picture.
        size: (width, height) of the loaded picture.
        annotated: (width, height) in its annotations.
        header: Header of the picture, if it is known.
    """
    message = f"{path}: {size[0]} x {size[1]}, annotated {annotated[0]} x {annotated[1]}"
    turned = _is_meant_unturned(size, annotated, header)
    return message + (" (turned by its EXIF orientation)" if turned else "")


def _remedy(size: tuple[int, int], annotated: tuple[int, int], header: Header | None) -> str:
    if _is_meant_unturned(size, annotated, header):
        return (
            "annotate it as it is shown, or leave it as it is stored by "
            "color_type='color_ignore_orientation' in LoadImageFromFile"
        )
    if size == annotated[::-1]:
        return "width and height are exchanged, correct them in the annotations"
    return (
        "the annotations belong to another picture, or to this one before it was resized; correct "
        "them"
    )


def _is_meant_unturned(
    size: tuple[int, int], annotated: tuple[int, int], header: Header | None
) -> bool:
    """Whether the annotated size is that of the picture before its orientation is applied."""
    return (
        header is not None and header.size == annotated and header.shown_size == size != annotated
    )
