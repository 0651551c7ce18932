"""What a test leaves behind besides its figures: predictions and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from convnext_dense.config.steps.outputs import IOU, evaluators_of_test, is_segmenter
from convnext_dense.evaluation.map_files import map_name
from convnext_dense.files import path_inside

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset


def kept_predictions(metrics: Iterable[BaseMetric]) -> list[Path]:
    """Return the files or folders into which the metrics of a test have written predictions."""
    return [path for metric in metrics for path in getattr(metric, "kept", ())]


def check_names(cfg: Config, dataset: BaseDataset, show_dir: str | None) -> None:
    """Refuse a test whose label maps or drawings would overwrite each other or lie elsewhere.

    Args:
        cfg: After :func:`~convnext_dense.config.steps.outputs.keep_predictions`.
        dataset: The test data, built.
        show_dir: Where the test draws, if it does.

    Raises:
        ValueError: Naming two images of one name, or one whose name leads out of the folder.
    """
    for evaluator in evaluators_of_test(cfg):
        if evaluator.type == IOU and evaluator.get("out"):
            name = partial(map_name, folders=evaluator.get("images", ()))
            way_on = "a .pkl file keeps all predictions"
            _check_names(dataset, evaluator.out, name, "out", way_on)
    if show_dir:
        # The hooks of mmdet and mmseg call a drawing as its image, whatever folder that is in.
        way_on = "`Predictor` draws pictures of several folders"
        layout = "vis_data/vis_image/test_{}_0.png" if is_segmenter(cfg) else "{}"
        name = partial(_drawing_name, layout=layout)
        _check_names(dataset, show_dir, name, "show_dir", way_on)


def _drawing_name(image: str, layout: str) -> str:
    return layout.format(Path(image).name)


def _check_names(
    dataset: BaseDataset, folder: str, name: Callable[[str], str], argument: str, way_on: str
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
                f"{way_on}"
            )
