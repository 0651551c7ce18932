"""Find and check the files that a test writes besides its figures: predictions and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from convnext_dense.config.steps.outputs import IOU, evaluators_of_test, is_segmenter
from convnext_dense.evaluation.map_files import label_map_name
from convnext_dense.files import path_inside

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset


def prediction_files(metrics: Iterable[BaseMetric]) -> list[Path]:
    """Return the files or folders to which the metrics of a test wrote predictions."""
    return [path for metric in metrics for path in getattr(metric, "kept", ())]


def check_output_names(cfg: Config, dataset: BaseDataset, show_dir: str | None) -> None:
    """Refuse a test whose label maps or drawings would overwrite each other or leave their folder.

    Args:
        cfg: The config, after :func:`~convnext_dense.config.steps.outputs.keep_predictions`.
        dataset: The test data, built.
        show_dir: The folder of the drawings, or None.

    Raises:
        ValueError: If two outputs have one path, or a path leads out of the folder; the message
            names the images.
    """
    for evaluator in evaluators_of_test(cfg):
        if evaluator.type == IOU and evaluator.get("out"):
            name = partial(label_map_name, folders=evaluator.get("images", ()))
            remedy = "a .pkl file can hold all predictions"
            _check_paths(dataset, evaluator.out, name, "out", remedy)
    if show_dir:
        # The hooks of mmdet and mmseg name a drawing after its image, without the folder.
        remedy = "`Predictor` draws pictures of several folders"
        layout = "vis_data/vis_image/test_{}_0.png" if is_segmenter(cfg) else "{}"
        _check_paths(
            dataset, show_dir, lambda image: layout.format(Path(image).name), "show_dir", remedy
        )


def _check_paths(
    dataset: BaseDataset, folder: str, name: Callable[[str], str], argument: str, remedy: str
) -> None:
    images: dict[str, str] = {}
    for index in range(len(dataset)):
        image = dataset.get_data_info(index)["img_path"]
        try:
            path_inside(folder, name(image))
        except ValueError as error:
            raise ValueError(f"`{argument}`: the image {image}: {error}") from error
        other = images.setdefault(name(image), image)
        if other != image:
            raise ValueError(
                f"`{argument}`: {other} and {image} would both be written as {name(image)}; "
                f"{remedy}"
            )
