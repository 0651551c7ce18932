"""List known keys that are in no signature: those of dicts without a ``type``, and ours."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from convnext_dense.backbone.archs import Arch
from convnext_dense.backbone.staged import WEIGHT_OPTIONS
from convnext_dense.config.checks.signatures import arguments_of
from convnext_dense.config_tree import SPLITS

# Keys that any dict may have.
EVERYWHERE = ("type", "_delete_", "_scope_")
# Dicts whose keys are the user's own names.
FREE = ("custom_keys", "default_hooks", "metainfo", "data_prefix", "custom_cfg")
# Read from the whole config by mmengine, mmdet, mmseg and this package.
_OF_THE_CONFIG = (
    "activation_checkpointing compile custom_imports detect_anomalous_params "
    "efficient_conv_bn_eval find_unused_parameters model_wrapper_cfg reinit_heads runner_type "
    "strategy sync_bn trust_pickles tta_model tta_pipeline work_dir"
)
_OF_TESTS = (
    "chunked_size class_agnostic conf_thr corner_topk crop_size distance_threshold "
    "filter_low_score filter_thr instance_on iou_thr kernel local_maximum_kernel mask_overlap "
    "mask_thr mask_thr_binary max_per_image max_per_img min_bbox_size mode multi_label nms "
    "nms_across_levels nms_cfg nms_pre num_points object_mask_thr panoptic panoptic_on rcnn rpn "
    "scale_factor score_thr score_voting semantic_on sigma size size_divisor stride "
    "stuff_area_limit subdivision_num_points subdivision_steps top_k topk with_nms yxyx"
)
_OF_TRAININGS = (
    "allowed_border assigner carl center_ratio debug dynamic_rcnn ga_assigner ga_sampler "
    "ignore_ratio importance_sample_ratio isr mask_size max_per_img min_bbox_size nms nms_post "
    "nms_pre num_points oversample_ratio pos_radius pos_weight rcnn rpn rpn_proposal sampler "
    "score_thr work_dir"
)
_IN_ANY_PLACE = {
    "clip_grad": "clip_value error_if_nonfinite foreach max_norm norm_type",
    "custom_imports": "allow_failed_imports imports",
    "dist_cfg": "backend init_method port rank timeout world_size",
    "env_cfg": "cudnn_benchmark dist_cfg mp_cfg resource_limit",
    "init_cfg": "checkpoint layer map_location override prefix",
    "mp_cfg": "mp_start_method opencv_num_threads",
    "nms": "class_agnostic iou_threshold max_num method min_score sigma split_thr",
    "norm_cfg": "requires_grad",
    "paramwise_cfg": "bias_decay_mult bias_lr_mult bypass_duplicate custom_keys dcn_offset_lr_mult "
    "decay_rate decay_type dwconv_decay_mult flat_decay_mult norm_decay_mult num_layers",
    "auto_scale_lr": "base_batch_size enable",
    "rcnn": f"{_OF_TESTS} {_OF_TRAININGS}",
    "rpn": f"{_OF_TESTS} {_OF_TRAININGS}",
    "rpn_proposal": f"{_OF_TESTS} {_OF_TRAININGS}",
    "compile": "backend disable dynamic fullgraph mode options target",
}


@cache
def known_keys(place: str) -> frozenset[str]:
    """Return the known keys of a dict, without those of its class.

    Args:
        place: The dict's dotted key without indices; empty for the whole config.
    """
    name = place.rpartition(".")[2]
    keys = {*EVERYWHERE, *_IN_ANY_PLACE.get(name, "").split()}
    if place == "":
        keys |= {*arguments_of(Runner).names, *_OF_THE_CONFIG.split()}
    elif place in [f"{split}_dataloader" for split in SPLITS]:
        keys |= {*arguments_of(DataLoader).names, "num_batch_per_epoch"}
    elif place == "train_cfg":
        loops = (EpochBasedTrainLoop, IterBasedTrainLoop)
        keys |= {"by_epoch"}.union(*(arguments_of(loop).names for loop in loops))
    elif place in ("val_cfg", "test_cfg"):
        keys |= {"fp16"}
    elif place.startswith("model.") and name == "test_cfg":
        keys |= set(_OF_TESTS.split())
    elif place.startswith("model.") and name == "train_cfg":
        keys |= set(_OF_TRAININGS.split())
    elif place == "randomness":
        keys |= arguments_of(Runner.set_randomness).names
    elif place == "log_processor":
        keys |= arguments_of(LogProcessor).names
    elif place == "model_wrapper_cfg":
        keys |= {*arguments_of(DistributedDataParallel).names, "detect_anomalous_params"}
    elif name == "clip_grad":
        keys |= arguments_of(clip_grad_norm_).names
    elif name == "init_cfg":
        keys |= set(WEIGHT_OPTIONS)
    elif name == "arch":
        keys |= {field.name for field in fields(Arch)}
    return frozenset(keys)
