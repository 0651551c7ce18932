"""Find the licence of weights and the normalisation that they expect, by name and content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlparse

from convnext_dense.cached_download import place_in_cache
from convnext_dense.checkpoints.source import is_remote, read_source

# The licence of the first pattern that matches the path, URL or hub id. Sources: the projects'
# LICENSE files and READMEs, and timm's registry of pretrained weights.
LICENCES = {
    r"dinov3": "DINOv3 License",
    r"eupe": "FAIR Noncommercial Research License",
    r"convnext-?v2|_fcmae": "CC BY-NC 4.0 (facebookresearch/ConvNeXt-V2)",
    r"fbaipublicfiles\.com/convnext/|\bfb_in|facebook/convnext-": "MIT (facebookresearch/ConvNeXt)",
    r"convnext_(iso_)?[a-z]+_(1k|22k)[_.]": "MIT (facebookresearch/ConvNeXt)",
    r"download\.pytorch\.org|^torchvision://": "BSD-3-Clause (torchvision)",
    r"(convnext_[a-z]+|resnet\d+)-[0-9a-f]{8}\.pth": "BSD-3-Clause (torchvision)",
    r"rwightman/|huggingface\.co/timm/|^timm/": "Apache-2.0 (timm)",
    r"openmmlab\.com": "Apache-2.0 (OpenMMLab)",
}
# Mean and standard deviation of red, green and blue in images of 0 to 255.
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CLIP = ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))
# Words in the names of weights from timm and open_clip that CLIP trained, fine-tuned or not. "Clip"
# also stands for clipped gradients, which the pattern leaves out.
CLIP_NAME = re.compile(
    r"(?<![a-z])(?<!grad[-_.])(?:open[-_]?)?clip(?![a-z])(?![-_.](?:grad|norm|value))"
    r"|(?<![a-z])laion(?:a|aesthetics?)?(?![a-z])"
)
# The model's id in a URL of the hub, and in the path of the hub's cache.
HUB_ADDRESS = re.compile(r"^https?://(?:www\.)?huggingface\.co/([^/]+/[^/]+)")
HUB_CACHE = re.compile(r"(?:^|/)models--([\w.-]+)/snapshots/")


def licence_of(name: str, is_v2: bool) -> str:
    """Return the licence of published weights, or a sentence that the name does not tell it."""
    told = name if is_remote(name) else identifying_name(name)
    for pattern, licence in LICENCES.items():
        if re.search(pattern, told.lower()):
            return licence
    if is_v2:
        return "not known by the name; Meta's V2 weights are CC BY-NC 4.0"
    return "not known by the name: see where the file comes from"


def identifying_name(name: str) -> str:
    """Return the part of a path, URL or hub id that names the weights, without folders.

    Example:
        >>> identifying_name("/home/eclipse/clip/convnext_tiny.pth")
        'convnext_tiny.pth'
    """
    if "://" in name:
        hub = HUB_ADDRESS.match(name)
        last = Path(unquote(urlparse(name).path)).name
    elif is_remote(name):
        return name
    else:
        hub = HUB_CACHE.search(Path(name).as_posix())
        last = Path(name).name
    return f"{hub[1]}/{last}" if hub else last


def normalisation_of(name: str, parameters: Iterable[str] = ()) -> Normalisation:
    """Return the mean and standard deviation that weights expect, in RGB from 0 to 255.

    Args:
        name: Path, URL or hub id of the weights.
        parameters: Names in the file, if it has been read.
    """
    is_clip = CLIP_NAME.search(identifying_name(name).lower()) or any(
        {"visual", "logit_scale"} & set(parameter.split(".")) for parameter in parameters
    )
    return CLIP if is_clip else IMAGENET


def normalisation_for(source: str) -> Normalisation:
    """Return the mean and standard deviation that weights expect, before they are loaded.

    A file on this machine is read, also one that was downloaded before; for others the name
    decides. A file that cannot be read is no error here: loading it will report it.

    Args:
        source: Path, URL or hub id; empty for random weights.
    """
    parameters: Iterable[str] = ()
    is_address = source.startswith(("http://", "https://"))
    here = place_in_cache(source) if is_address else Path(source).expanduser()
    if source and here.exists():
        with contextlib.suppress(OSError, RuntimeError, ImportError):
            parameters = read_source(here).state
    return normalisation_of(source, parameters)
