"""What a file's name tells of its licence, and of the images that its weights expect."""

from __future__ import annotations

import re

from convnext_dense.weights.find import Found

# The first that matches the path, URL or hub id. Sources: the projects' LICENSE files and READMEs,
# and timm's registry of pretrained weights.
LICENCES = {
    r"dinov3": "DINOv3 License",
    r"eupe": "FAIR Noncommercial Research License",
    r"convnext-?v2|_fcmae": "CC BY-NC 4.0 (facebookresearch/ConvNeXt-V2)",
    r"fbaipublicfiles\.com/convnext/|\bfb_in|facebook/convnext-": "MIT (facebookresearch/ConvNeXt)",
    r"convnext_[a-z]+_(1k|22k)[_.]": "MIT (facebookresearch/ConvNeXt)",
    r"download\.pytorch\.org|convnext_[a-z]+-[0-9a-f]{8}\.pth": "BSD-3-Clause (torchvision)",
    r"rwightman/|huggingface\.co/timm/|^timm/": "Apache-2.0 (timm)",
    r"openmmlab\.com": "Apache-2.0 (OpenMMLab)",
}
# Mean and standard deviation of red, green and blue in images of 0 to 255.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CLIP = ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))


def licence_of(name: str, found: Found) -> str:
    """Name the licence of published weights, or say that the name does not tell."""
    for pattern, licence in LICENCES.items():
        if re.search(pattern, name.lower()):
            return licence
    if found.arch.grn:
        return "not told by the name; Meta's V2 weights are CC BY-NC 4.0"
    return "not told by the name: see where the file comes from"


def normalisation_of(
    name: str, found: Found | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the mean and standard deviation that images are normalised with, in 0 to 255, RGB.

    Args:
        name: Path, URL or hub id of the weights.
        found: What the file holds; None where it has not been read.
    """
    is_clip = "clip" in name.lower() or (found is not None and "visual." in found.prefix)
    return CLIP if is_clip else IMAGENET
