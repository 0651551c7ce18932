"""What is published of the steps from ResNet to ConvNeXt, on ImageNet-1K at 224x224.

Source: arXiv 2201.03545, tables 10 (from ResNet-50, ``tiny``) and 11 (from ResNet-200, ``base``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedStep:
    """A row of the two tables.

    Attributes:
        top1: Top-1 accuracy in percent: in ``tiny`` the mean of three trainings.
        gflops: Multiply-adds in billions, of the convolutions and the classifier.
        deviation: Standard deviation of the three trainings; None for a single one.
        is_off: Whether the printed multiply-adds are not those of the network: see
            ``docs/roadmap.md``.
    """

    top1: float
    gflops: float
    deviation: float | None = None
    is_off: bool = False


# By the regime and the step.
ROADMAP: dict[str, dict[str, PublishedStep]] = {
    "tiny": {
        "resnet": PublishedStep(78.82, 4.09, 0.07),
        "stage_ratio": PublishedStep(79.36, 4.53, 0.07),
        "patchify_stem": PublishedStep(79.51, 4.42, 0.18),
        "depthwise_conv": PublishedStep(78.28, 2.35, 0.08),
        "increase_width": PublishedStep(80.50, 5.27, 0.02),
        "inverted_bottleneck": PublishedStep(80.64, 4.64, 0.03),
        "move_up_depthwise": PublishedStep(79.92, 4.07, 0.08),
        "kernel_5": PublishedStep(80.35, 4.10, 0.08),
        "kernel_7": PublishedStep(80.57, 4.15, 0.14),
        "kernel_9": PublishedStep(80.57, 4.21, 0.06),
        "kernel_11": PublishedStep(80.47, 4.29, 0.11),
        "gelu": PublishedStep(80.62, 4.15, 0.14),
        "fewer_activations": PublishedStep(81.27, 4.15, 0.06),
        "fewer_norms": PublishedStep(81.41, 4.15, 0.09),
        "layer_norm": PublishedStep(81.47, 4.46, 0.09, is_off=True),
        "separate_downsampling": PublishedStep(81.97, 4.49, 0.06, is_off=True),
    },
    "base": {
        "resnet": PublishedStep(81.14, 15.01),
        "stage_ratio": PublishedStep(81.33, 14.52),
        "patchify_stem": PublishedStep(81.59, 14.38),
        "depthwise_conv": PublishedStep(80.54, 7.23),
        "increase_width": PublishedStep(81.85, 16.76),
        "inverted_bottleneck": PublishedStep(82.64, 15.68),
        "move_up_depthwise": PublishedStep(82.04, 14.63),
        "kernel_5": PublishedStep(82.32, 14.70),
        "kernel_7": PublishedStep(82.30, 14.81),
        "kernel_9": PublishedStep(82.27, 14.95),
        "kernel_11": PublishedStep(82.18, 15.13),
        "gelu": PublishedStep(82.19, 14.81),
        "fewer_activations": PublishedStep(82.71, 14.81),
        "fewer_norms": PublishedStep(83.17, 14.81),
        "layer_norm": PublishedStep(83.35, 14.81),
        "separate_downsampling": PublishedStep(83.60, 15.35),
    },
}
# The ResNet that the road begins with, as it was trained before: without the recipe of table 5.
OLD_RECIPE = {"tiny": 76.13, "base": 78.20}
# What the road is compared with: Swin-T and Swin-B.
SWIN = {"tiny": PublishedStep(81.30, 4.50), "base": PublishedStep(83.50, 15.43)}
