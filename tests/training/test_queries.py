"""Too few positions for the queries of a DETR are found before training, with what fits."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from convnext_dense.config.data.classes import set_classes
from convnext_dense.config.data.image_size import set_image_size
from convnext_dense.training.queries import check_queries

pytestmark = pytest.mark.slow

DINO = Path(__file__).parents[2] / "configs/det/dino_convnext_t_coco.py"


class Images(list):
    """A data set of pictures of these widths and heights."""

    def get_data_info(self, index):
        return dict(zip(("width", "height"), self[index], strict=True))


def loader(*sizes):
    return SimpleNamespace(dataset=Images(sizes))


def config(img_size=None, classes=None, **options):
    cfg = Config.fromfile(DINO)
    cfg.model.backbone.arch = "atto"
    cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 1
    cfg.model.neck.in_channels = [80, 160, 320]
    if classes:
        set_classes(cfg, classes)
    if img_size:
        set_image_size(cfg, img_size)
    cfg.merge_from_dict(options)
    return cfg


def refusal(cfg, split, *sizes):
    with pytest.raises(ValueError, match="positions for its") as refused:
        check_queries(cfg, split, loader(*sizes))
    return str(refused.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_proposed_fits_and_less_does_not(split):
    pictures = (640, 480), (480, 640), (640, 200)
    message = refusal(config(96), split, *pictures)
    assert f"the smallest image of {split}_dataloader becomes " in message
    proposed = int(re.search(r"`img_size=(\d+)`", message)[1])
    queries = int(re.search(r"'model\.num_queries': (\d+)", message)[1])
    check_queries(config(proposed), split, loader(*pictures))
    refusal(config(proposed - 32), split, *pictures)
    # Of 80 classes each query can make 80 detections.
    fewer = {"model.num_queries": queries}
    check_queries(config(96, **fewer), split, loader(*pictures))
    refusal(config(96, **{"model.num_queries": queries + 1}), split, *pictures)


def test_the_published_sizes_are_enough_for_pictures_of_any_usual_shape():
    for split in ("train", "val", "test"):
        check_queries(config(), split, loader((640, 480), (2000, 100), (100, 2000)))


def test_the_detections_that_are_wanted_are_no_more_than_there_can_be():
    few = config(classes=("droplet",), **{"model.num_queries": 100})
    check_queries(few, "train", loader((640, 480)))
    with pytest.raises(
        ValueError, match=r"max_per_img is 300, but model\.num_queries=100 makes"
    ) as e:
        check_queries(few, "val", loader((640, 480)))
    assert "`cfg_options={'model.test_cfg.max_per_img': 100}`" in str(e.value)
    check_queries(config(**{"model.num_queries": 100}), "val", loader((640, 480)))
    message = refusal(config(96, classes=("droplet",)), "val", (640, 480))
    assert "'model.test_cfg.max_per_img': " in message


def test_models_without_a_choice_of_positions_are_let_pass():
    recipe = DINO.with_name("mask2former_convnext_t_coco.py")
    check_queries(Config.fromfile(recipe), "train", loader((10, 10)))
    check_queries(config(96, **{"model.as_two_stage": False}), "train", loader((640, 480)))
