"""Methods that depend on their backbone: a swap refuses them, replaces parts, or warns."""

from __future__ import annotations

from convnext_dense.config_tree import backbone_owner, type_name, walk
from convnext_dense.swap.edits import Edits, SwapRefusedError

# Models whose method is the features of a certain network, and the reason.
REFUSED_MODELS = {
    "Detectron2Wrapper": "it wraps a whole detector of detectron2, whose backbone mmdet cannot set",
    "MultimodalEncoderDecoder": "its mask proposals steer the attention inside a frozen CLIP "
    "vision transformer, which is the classifier too",
}
REFUSED_BACKBONES = {
    "VPD": "its features are those of a diffusion model under a text prompt, with the attention "
    "maps of the prompt's words among them",
}
# Arguments of a backbone that may be the point of a config, and that a swap loses.
LOST = {
    "dcn": "deformable convolutions",
    "plugins": "the plugins in its blocks",
    "conv_cfg": "its kind of convolution",
    "sac": "switchable atrous convolutions",
    "multi_grid": "the multi-grid dilations of its last stage",
}
ORDINARY_CONVS = (None, "Conv", "Conv2d")


def find_swappable(model: dict | None, name: str) -> tuple[str, dict]:
    """Return the dict that holds the backbone to swap, after its dotted key.

    Raises:
        SwapRefusedError: If there is no such backbone, or the method depends on the backbone.
    """
    if not model:
        raise SwapRefusedError(f"{name} has no model: it is a part of a config")
    kind = type_name(model)
    if kind in REFUSED_MODELS:
        raise SwapRefusedError(
            f"{name}: a {kind} needs its own network, since {REFUSED_MODELS[kind]}"
        )
    found = backbone_owner(model)
    if found is None:
        raise SwapRefusedError(
            f"{name}: neither model ({kind}) nor model.detector has a backbone; model has the keys "
            f"{', '.join(model)}"
        )
    backbone = type_name(found[1]["backbone"])
    if backbone in REFUSED_BACKBONES:
        raise SwapRefusedError(
            f"{name}: {backbone} cannot be replaced, since {REFUSED_BACKBONES[backbone]}"
        )
    return found


def warn_of_other_backbones(model: dict, path: str, edits: Edits) -> None:
    """Warn of backbones that stay, such as those of a teacher or a tracker's re-identification."""
    for where, node in walk(model, "model"):
        key = where.rpartition(".")[2]
        if key.endswith("backbone") and not f"{where}.".startswith(
            (f"{path}.backbone.", f"{path}.neck")
        ):
            edits.warn(f"{where} ({type_name(node)}) is left as it is")


def replace_tied_parts(part: dict, path: str, edits: Edits) -> None:
    """Replace parts that work only with the old backbone, and warn of what is lost."""
    backbone = part["backbone"]
    for key, meaning in LOST.items():
        value = backbone.get(key)
        if value and not (key == "conv_cfg" and value.get("type") in ORDINARY_CONVS):
            edits.warn(f"{path}.backbone.{key}: the swap loses {meaning}")
    if type_name(backbone) == "TridentResNet":
        _replace_trident(part, path, edits)
    neck = part.get("neck")
    if isinstance(neck, dict) and type_name(neck) == "RFP":
        _replace_recursive_pyramid(neck, path, edits)


def _replace_trident(part: dict, path: str, edits: Edits) -> None:
    why = "TridentNet's branches are those of its backbone"
    edits.warn(f"{path}: the swap loses the branches of TridentNet; a plain Faster R-CNN remains")
    backbone = part["backbone"]
    backbone["type"] = "ResNet"
    for key in ("trident_dilations", "num_branch", "test_branch_idx"):
        backbone.pop(key, None)
    edits.set(path, part, "type", "FasterRCNN", why)
    roi_head = part["roi_head"]
    edits.set(f"{path}.roi_head", roi_head, "type", "StandardRoIHead", why)
    for key in ("num_branch", "test_branch_idx"):
        edits.drop(f"{path}.roi_head", roi_head, key, why)


def _replace_recursive_pyramid(neck: dict, path: str, edits: Edits) -> None:
    why = "the recursive pyramid runs a second copy of its own backbone"
    edits.warn(f"{path}.neck: the swap loses the recursive pyramid (RFP); a plain FPN remains")
    edits.set(f"{path}.neck", neck, "type", "FPN", why)
    for key in ("rfp_steps", "rfp_backbone", "aspp_out_channels", "aspp_dilations"):
        edits.drop(f"{path}.neck", neck, key, why)
