"""The packages that a config imports."""

from __future__ import annotations

from convnext_dense.config_tree import walk
from convnext_dense.swap.edits import Edits

OURS = "convnext_dense"
# Packages that are imported for a backbone; their types carry the name in front.
OF_BACKBONES = ("mmpretrain", "mmcls")


def set_imports(edits: Edits) -> None:
    """Import our package, and no longer the one that the old backbone came from."""
    stated = edits.cfg.get("custom_imports") or {}
    modules = stated.get("imports", [])
    modules = [modules] if isinstance(modules, str) else list(modules)
    used = {str(node.get("type")).partition(".")[0] for _, node in walk(edits.cfg.get("model"))}
    kept = [
        module
        for module in modules
        if module.partition(".")[0] not in OF_BACKBONES or module.partition(".")[0] in used
    ]
    imports = dict.fromkeys([*kept, OURS])
    value = dict(imports=list(imports), allow_failed_imports=False)
    edits.set("", edits.cfg, "custom_imports", value, "where ConvNeXt is registered")
