"""Find the licence of weights and the normalisation that they expect, by name and content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlparse

from convnext_dense.cached_download import place_in_cache
from convnext_dense.checkpoints.hub_folder import hub_folder, told_model, told_normalisation
from convnext_dense.checkpoints.source import is_remote, read_source
from convnext_dense.zoo.licences import META_V2, find_licence
from convnext_dense.zoo.weights import CLIP, IMAGENET, Normalisation

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
    if licence := find_licence(told_name(name)):
        return str(licence)
    if is_v2:
        return f"not known by the name; Meta's V2 weights are {META_V2}"
    return "not known by the name: see where the file comes from"


def told_name(name: str) -> str:
    """Return the part of a path, URL or hub id that tells the licence."""
    return name if is_remote(name) else identifying_name(name)


def identifying_name(name: str) -> str:
    """Return the part of a path, URL or hub id that names the weights, without folders.

    For a folder that timm wrote, that is the id of its model.

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
        path = Path(name).expanduser()
        if (folder := hub_folder(path)) and (model := told_model(folder)):
            return model
        hub = HUB_CACHE.search(path.as_posix())
        last = path.name
    return f"{hub[1]}/{last}" if hub else last


def normalisation_of(name: str, parameters: Iterable[str] = ()) -> Normalisation:
    """Return the mean and standard deviation that weights expect, in RGB from 0 to 255.

    What a folder of the hub states decides, otherwise the name and the parameters.

    Args:
        name: Path, URL or hub id of the weights.
        parameters: Names in the file, if it has been read.
    """
    if not is_remote(name) and (folder := hub_folder(Path(name).expanduser())):
        told = told_normalisation(folder)
        if told:
            return told
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
