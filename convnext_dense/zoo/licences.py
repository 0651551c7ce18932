"""The licences of published weights, told from their address or name."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """A licence of weights; ``str(licence)`` is how messages and tables name it.

    Attributes:
        name: Its name, with who publishes weights under it.
        url: Where its text stands.
        commercial: Whether it allows commercial use.
    """

    name: str
    url: str
    commercial: bool = True

    def __str__(self) -> str:
        return self.name if self.commercial else f"{self.name}, which forbids commercial use"


GITHUB = "https://github.com/"
META_V1 = Licence(
    "MIT (facebookresearch/ConvNeXt)", f"{GITHUB}facebookresearch/ConvNeXt/blob/main/LICENSE"
)
META_V2 = Licence(
    "CC BY-NC 4.0 (facebookresearch/ConvNeXt-V2)",
    f"{GITHUB}facebookresearch/ConvNeXt-V2/blob/main/LICENSE",
    commercial=False,
)
DINOV3 = Licence(
    "DINOv3 License", "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
)
EUPE = Licence(
    "FAIR Noncommercial Research License",
    f"{GITHUB}facebookresearch/eupe/blob/main/LICENSE",
    commercial=False,
)
TIMM = Licence("Apache-2.0 (timm)", f"{GITHUB}huggingface/pytorch-image-models/blob/main/LICENSE")
TORCHVISION = Licence("BSD-3-Clause (torchvision)", f"{GITHUB}pytorch/vision/blob/main/LICENSE")
OPENMMLAB = Licence("Apache-2.0 (OpenMMLab)", "https://www.apache.org/licenses/LICENSE-2.0")

# That of the first pattern which matches the path, URL or hub id, in lower case. Sources: the
# projects' LICENSE files and READMEs, and timm's registry of pretrained weights.
_PATTERNS = {
    r"dinov3": DINOV3,
    r"eupe": EUPE,
    r"convnext-?v2|_fcmae": META_V2,
    r"fbaipublicfiles\.com/convnext/|\bfb_in|facebook/convnext-": META_V1,
    r"convnext_(iso_)?[a-z]+_(1k|22k)[_.]": META_V1,
    r"download\.pytorch\.org|^torchvision://": TORCHVISION,
    r"(convnext_[a-z]+|resnet\d+)-[0-9a-f]{8}\.pth": TORCHVISION,
    r"rwightman/|huggingface\.co/timm/|^timm/": TIMM,
    r"openmmlab\.com": OPENMMLAB,
}


def find_licence(name: str) -> Licence | None:
    """Return the licence that an address or a name of weights tells, or None.

    Example:
        >>> find_licence("timm/convnext_tiny.eupe_lvd1689m").commercial
        False
    """
    name = name.lower()
    return next((one for pattern, one in _PATTERNS.items() if re.search(pattern, name)), None)
