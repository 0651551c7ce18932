"""An exported model in the place of mmdet's or mmseg's own, for their metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData

from convnext_dense_runtime import Detections, Model

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement


class ExportedModel(BaseModel):
    """Predict with an exported model, on pictures that only were loaded.

    Args:
        file: An ``.onnx`` or ``.xml`` file.
        in_channels: Number of channels of its pictures, which the pipelines are checked for.
        device: As for :class:`~convnext_dense.runtime.Model`.
    """

    def __init__(self, file: str, in_channels: int = 3, device: str | None = None) -> None:
        super().__init__()
        self.exported = Model(file, device)
        self.in_channels = in_channels

    @property
    def title(self) -> str:
        """What it is, in one line."""
        return f"{self.exported.metadata.model or 'a model'}, exported"

    @property
    def runs_on(self) -> str:
        """What it runs on."""
        return self.exported.runs_on

    @property
    def precision(self) -> str:
        """What it computes in."""
        is_int8 = "int8_pictures" in self.exported.metadata.verification
        return "8-bit integers" if is_int8 else "float32"

    def forward(self, *args: object, **kwargs: object) -> None:
        """Raise an error: it cannot be trained.

        Raises:
            TypeError: Always.
        """
        raise TypeError("an exported model only predicts")

    def test_step(self, data: dict[str, Any]) -> list[BaseDataElement]:
        """Return the data samples of a batch with what is found in its pictures.

        Raises:
            ValueError: If a picture cannot be run; the message names it.
        """
        samples = data["data_samples"]
        if self.exported.metadata.task == "detection":
            from mmdet.models.utils.misc import samplelist_boxtype2tensor

            samplelist_boxtype2tensor(samples)  # the truth, as mmdet's data preprocessor does
        for image, sample in zip(data["inputs"], samples, strict=True):
            picture = np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0))
            try:
                (found,) = self.exported(picture)
            except ValueError as error:
                said = str(error).removeprefix("an array: ")
                raise ValueError(f"{sample.img_path}: {said}") from error
            if isinstance(found, Detections):
                sample.pred_instances = _as_instances(found)
            else:
                labels = torch.from_numpy(found.labels.astype(np.int64))
                sample.pred_sem_seg = PixelData(data=labels[None])
        return samples


def _as_instances(found: Detections) -> InstanceData:
    instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes),
        scores=torch.from_numpy(found.scores),
        labels=torch.from_numpy(found.labels),
    )
    if found.masks is not None:
        instances.masks = torch.from_numpy(found.masks)
    return instances
